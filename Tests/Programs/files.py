"""Opens files until refused, and says at each step what /proc shows. argv: bound"""
import errno, os, sys

bound, refused = int(sys.argv[1]), 0

def listing():
    """Descriptors of ours that /proc shows; the listing's own is one more while it is open."""
    return len(os.listdir("/proc/self/fd")) - 4

def attempt(call, *arguments):
    global refused
    try:
        return call(*arguments)
    except OSError as e:
        if e.errno != errno.ENFILE:
            raise
        refused += 1
        return None

assert listing() == 0, os.listdir("/proc/self/fd")
files, exact, unlisted = [], True, 0
for _ in range(200):
    f = attempt(os.open, os.devnull, os.O_RDONLY)
    if f is not None:
        files.append(f)
        n = attempt(listing)
        if n is None:
            unlisted += 1
        else:
            exact = exact and n == len(files)
print("opened", len(files))
print("numbers", files == list(range(3, 3 + len(files))))
print("exact", exact)
print("unlisted", unlisted)
again = os.dup(files[0])  # the same description: costs nothing
print("dup", again)
os.close(again)
os.close(files.pop())
files.append(attempt(os.open, os.devnull, os.O_RDONLY))
print("after-close", files[-1] is not None, attempt(os.open, os.devnull, os.O_RDONLY))
# A description that a child holds too stays charged until the last close.
pid = os.fork()
if pid == 0:
    os.kill(os.getpid(), 19)
    os._exit(0)
os.waitpid(pid, os.WUNTRACED)
shared = files.pop()
os.close(shared)
print("shared", attempt(os.open, os.devnull, os.O_RDONLY))
os.kill(pid, 9)
os.waitpid(pid, 0)
files.append(attempt(os.open, os.devnull, os.O_RDONLY))
print("unshared", files[-1] is not None, attempt(os.open, os.devnull, os.O_RDONLY))
os.close(files.pop())
print("pipe", attempt(os.pipe))  # two do not fit where one does
print("one", attempt(os.open, os.devnull, os.O_RDONLY) is not None)
print("refused", refused)
