"""Threads and processes up to a bound on tasks. argv: bound"""
import os, subprocess, sys, threading, time

bound = int(sys.argv[1])

def tasks():
    return len(os.listdir("/proc/self/task"))

go, started, refused, exact, message = threading.Event(), [], 0, True, ""
for _ in range(2 * bound):
    t = threading.Thread(target=go.wait)
    try:
        t.start()
        started.append(t)
    except RuntimeError as e:
        message, refused = str(e), refused + 1
    exact = exact and tasks() == 1 + len(started)
print("threads", len(started))
print("thread-refused", message)
print("thread-exact", exact)
go.set()
for t in started:
    t.join()
while tasks() > 1:  # join returns a little before the kernel's task ends
    time.sleep(0.001)
again = threading.Thread(target=print, args=("thread-again True",))
again.start()
again.join()
while tasks() > 1:
    time.sleep(0.001)

children, errnos = [], set()
def spawn():
    global refused
    try:
        children.append(subprocess.Popen(["sleep", "300"]))
        return True
    except BlockingIOError as e:
        errnos.add(e.errno)
        refused += 2  # CPython tries vfork, then fork: two calls were refused
        return False
for _ in range(2 * bound):
    spawn()
print("children", len(children))
victim = children.pop()
victim.kill()
os.waitid(os.P_PID, victim.pid, os.WEXITED | os.WNOWAIT)
print("zombie", spawn())  # not reaped yet: still a task
victim.wait()
print("reaped", spawn(), spawn())
for call in (os.fork, lambda: os.posix_spawnp("true", ["true"], os.environ)):
    try:
        pid = call()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    except OSError as e:
        errnos.add(e.errno)
        refused += 1
for c in children:
    c.kill()
    c.wait()
print("errnos", sorted(errnos))
print("refused", refused)
