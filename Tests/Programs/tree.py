"""A tree of 50 processes with 4 threads each, its members killed at random. argv: rounds [bound]
With a bound equal to the size of the whole tree, what was killed and reaped can be started again to the task, and not one more."""
import ctypes, os, random, signal, sys, threading, time

rounds, bound = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None
THREADS, PROCESSES = 4, 50
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come to us
random.seed(7)
ready, tell = os.pipe()

def threads():
    for _ in range(THREADS - 1):
        threading.Thread(target=threading.Event().wait, daemon=True).start()

def sprout(leaves):
    """A process that has `leaves` children of its own; their pids come through the pipe."""
    pid = os.fork()
    if pid == 0:
        try:
            for _ in range(leaves):
                sprout(0)
            threads()
            os.write(tell, os.getpid().to_bytes(4, "little"))
            while True:
                signal.pause()
        finally:
            os.write(tell, bytes(4))
            os._exit(1)
    return pid

def gather(n):
    got = b""
    while len(got) < 4 * n:
        got += os.read(ready, 4 * n - len(got))
    pids = {int.from_bytes(got[i : i + 4], "little") for i in range(0, len(got), 4)}
    assert 0 not in pids, "a member could not start its threads or children"
    return pids

def count(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as f:
            total += next(int(l.split()[1]) for l in f if l.startswith("Threads"))
    return total

for _ in range(7):
    sprout(6)  # 7 + 42 + this one
alive = gather(PROCESSES - 1)
threads()
me, counts, refused = os.getpid(), [count(alive | {os.getpid()})], 0
time.sleep(0.2)  # a peak that lasts: nobody need have asked for it
for _ in range(rounds):
    dead = set(random.sample(sorted(alive), random.randint(1, 12)))
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    alive -= dead
    left = set(dead)
    while left:  # the orphans of the dead are ours now; a dead one may yet be its parent's zombie
        for pid in sorted(left):
            try:
                os.waitpid(pid, 0)
                left.discard(pid)
            except ChildProcessError:
                if not os.path.exists(f"/proc/{pid}"):
                    left.discard(pid)
                else:  # its parent does not reap: it must die too
                    with open(f"/proc/{pid}/stat") as f:
                        parent = int(f.read().rsplit(")", 1)[1].split()[1])
                    if parent != me and parent not in left:
                        os.kill(parent, signal.SIGKILL)
                        alive.discard(parent)
                        dead.add(parent)
                        left.add(parent)
    assert count(alive | {me}) == THREADS * (PROCESSES - len(dead))
    for _ in dead:
        sprout(0)
    alive |= gather(len(dead))
    counts.append(count(alive | {me}))
    if bound:
        try:
            if os.fork() == 0:
                os._exit(0)
        except BlockingIOError:
            refused += 1
for pid in alive:
    os.kill(pid, signal.SIGKILL)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
print("counts", counts == [THREADS * PROCESSES] * (rounds + 1))
print("peak", max(counts))
print("refused", refused)
sys.stdout.flush()
os._exit(0)  # the waiting threads do not hold up the end
