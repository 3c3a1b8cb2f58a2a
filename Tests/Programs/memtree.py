"""Four processes grow together: the sum over the tree never passes the bound. argv: bound in KiB"""
import mmap, os, sys, time

bound, STEP = int(sys.argv[1]), 1 << 20

def held(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(l.split()[1]) for l in f if l.startswith("VmData"))

done, tell = os.pipe()
start, go = os.pipe()
children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        os.read(start, 1)  # once all are there: a full beancounter refuses the fork
        kept = []
        try:
            for _ in range(bound >> 9):  # twice the bound
                kept.append(mmap.mmap(-1, STEP, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        except OSError as e:
            os.write(tell, bytes([e.errno]))
        else:
            os.write(tell, bytes(1))
        time.sleep(300)
        os._exit(0)
    children.append(pid)
os.write(go, b"gogo")
errnos, most = b"", 0
os.set_blocking(done, False)
while len(errnos) < 4:
    most = max(most, sum(map(held, children + [os.getpid()])))  # they only grow, so a sum read late is no more than the truth
    try:
        errnos += os.read(done, 4)
    except BlockingIOError:
        pass
last = sum(map(held, children + [os.getpid()]))
for pid in children:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
print("errnos", list(errnos))
print("most", max(most, last))
print("room", bound - last)
