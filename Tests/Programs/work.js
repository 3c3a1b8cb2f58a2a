// A little of everything, the same output whenever nothing is refused.
const fs = require('fs'), net = require('net'), { execFileSync } = require('child_process'), { Worker } = require('worker_threads');
const files = Array.from({ length: 20 }, () => fs.openSync('/dev/null'));
console.log('files', files.every((f, i) => i == 0 || f > files[i - 1]));
files.forEach(f => fs.closeSync(f));
const buffers = Array.from({ length: 32 }, (_, i) => Buffer.alloc(1 << 20, i));
console.log('buffers', buffers.reduce((s, b) => s + b[b.length - 1], 0));
console.log('child', execFileSync('sh', ['-c', 'echo out']).toString().trim());
new Worker('require("worker_threads").parentPort.postMessage(6 * 7)', { eval: true }).on('message', m => {
  console.log('worker', m);
  const server = net.createServer(s => s.end('served')).listen(0, '127.0.0.1', () => {
    let text = '';
    net.connect(server.address().port, '127.0.0.1').on('data', d => text += d).on('end', () => { console.log('tcp', text); server.close(); });
  });
});
