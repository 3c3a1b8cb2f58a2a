// Opens files until refused. Prints the error, and how many descriptors /proc shows when exactly one more fits (the listing's own).
const fs = require('fs');
const files = [];
let refused = 0, code;
for (let i = 0; i < 300; i++) try { files.push(fs.openSync('/dev/null')); } catch (e) { refused++; code = `${e.code} ${e.errno}`; }
fs.closeSync(files.pop());
const shown = fs.readdirSync('/proc/self/fd').filter(n => +n > 2);
files.push(fs.openSync('/dev/null'));
try { fs.openSync('/dev/null'); } catch (e) { refused++; }
console.log('code', code);
console.log('shown', shown.length);
console.log('refused', refused);
