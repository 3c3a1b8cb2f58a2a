"""A little of everything, the same output whenever nothing is refused."""
import mmap, os, socket, subprocess, tempfile, threading

files = [os.open(os.devnull, os.O_RDONLY) for _ in range(30)]
print("descriptors", files, sorted(map(int, os.listdir("/proc/self/fd"))))
for f in files:
    os.close(f)
blocks = [bytearray(b"x" * (1 << 20)) for _ in range(80)]
pages = mmap.mmap(-1, 1 << 24, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
pages[:4] = b"page"
print("memory", sum(b.count(b"x") for b in blocks), pages[:4])
done = []
threads = [threading.Thread(target=done.append, args=(i,)) for i in range(6)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("threads", sorted(done))
children = [subprocess.Popen(["sh", "-c", f"echo child {i} | tr a-z A-Z; exit {i}"], stdout=subprocess.PIPE) for i in range(5)]
print("children", [(c.communicate()[0], c.returncode) for c in children])
print("system", os.system("exit 3") >> 8, os.popen("echo popen").read().strip())
pid = os.fork()
if pid == 0:
    os._exit(7)
print("fork", os.waitpid(pid, 0)[1] >> 8)
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.sendall(b"hello")
print("tcp", peer.recv(5), [s.fileno() - server.fileno() for s in (server, client, peer)])
left, right = socket.socketpair()
left.sendall(b"pair")
print("unix", right.recv(4))
with tempfile.TemporaryFile() as t:
    t.write(b"temporary")
    t.seek(0)
    print("temporary", t.read())
try:
    os.open("/nonexistent/file", os.O_RDONLY)
except OSError as e:
    print("missing", e.errno, e.strerror)
