// The JavaScript heap itself, until V8 gives up.
const kept = [];
for (let i = 0; i < 40000; i++) kept.push(new Array(10000).fill(i));
