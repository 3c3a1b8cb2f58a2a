// Buffers until refused, and the kernel's figure then. After letting go, memory can be had again.
const fs = require('fs');
const status = fs.openSync('/proc/self/status'), text = Buffer.alloc(4096);
const held = () => +text.toString('latin1', 0, fs.readSync(status, text, 0, 4096, 0)).match(/VmData:\s+(\d+)/)[1];
let kept = [], most = 0;
try { for (let i = 0; i < 200; i++) { kept.push(Buffer.alloc(1 << 22, 1)); most = Math.max(most, held()); } } catch (e) { console.log('refused', e.message); }
console.log('most', Math.max(most, held()));
console.log('held', held());
