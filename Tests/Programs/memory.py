"""Private memory against a bound that the kernel's own figure must show to the page. argv: bound in KiB. Without a bound it ends all the same."""
import errno, mmap, os, random, sys

bound, PAGE = int(sys.argv[1]), 4
status = os.open("/proc/self/status", os.O_RDONLY)

def held():
    text = os.pread(status, 4096, 0)
    at = text.index(b"VmData:") + 7
    return int(text[at : text.index(b"kB", at)])

def step(pages):
    """(got, held before, held after), or None when the interpreter itself grew meanwhile"""
    before = held()
    try:
        got = mmap.mmap(-1, pages * PAGE << 10, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as e:
        assert e.errno == errno.ENOMEM, e
        got = None
    after = held()
    return (got, before, after) if after - before == (pages * PAGE if got else 0) else None

random.seed(1)
kept, refused, wrong, unclear, peak = [], 0, [], 0, 0
for i in range(400):
    pages = random.randint(1, 4096) if i < 200 else random.randint(1, 16)
    r = step(pages)
    if r is None:
        unclear += 1
        continue
    got, before, after = r
    peak = max(peak, after)
    refused += got is None
    if (got is None) != (before + pages * PAGE > bound):
        wrong.append((before, pages * PAGE, got is not None))
    if got:
        kept.append(got)
        if i % 7 == 0:
            kept.pop(random.randrange(len(kept))).close()
while True:  # fill it to the last page
    before = held()
    if before >= bound:
        break
    r = step(1)
    if r is None or r[0] is None:
        break
    kept.append(r[0])
peak = max(peak, held())
print("refused", refused)
print("wrong", wrong)
print("unclear", unclear)
print("filled", bound - held())
print("peak", peak)
for m in kept:
    m.close()
kept.clear()
blocks = []
try:
    for _ in range(bound >> 9):  # twice the bound
        blocks.append(bytearray(1 << 20))
except MemoryError:
    print("MemoryError", bound - held())
try:  # a copy of all this does not fit twice
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    print("fork", 0)
except OSError as e:
    print("fork", e.errno)
blocks.clear()
pid = os.fork()
if pid == 0:
    os._exit(0)
print("fork-after", os.waitpid(pid, 0)[1])
print("again", len(bytearray(100 << 20)) >> 20)
