"""Sockets against small bounds. argv: numtcpsock numothersock"""
import errno, os, socket, sys

tcp, other = int(sys.argv[1]), int(sys.argv[2])

def fill(*kind):
    kept = []
    try:
        while len(kept) < 100:
            kept.append(socket.socket(*kind))
        return kept, None
    except OSError as e:
        return kept, e.errno

refused = {"tcp": 0, "other": 0}
for family in (socket.AF_INET, socket.AF_INET6):
    kept, error = fill(family, socket.SOCK_STREAM)
    if error == errno.EAFNOSUPPORT:
        continue
    print(family.name, len(kept) == tcp, errno.errorcode[error])
    refused["tcp"] += 1
    kept.clear()
for kind in ((socket.AF_UNIX, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM)):
    kept, error = fill(*kind)
    print(kind[0].name, kind[1].name, len(kept) == other, errno.errorcode[error])
    refused["other"] += 1
    kept.clear()
kept = [socket.socket(socket.AF_UNIX) for _ in range(other - 1)]
try:
    pair = socket.socketpair()
except OSError as e:
    print("pair", errno.errorcode[e.errno])
    refused["other"] += 1
kept.clear()

listener = socket.create_server(("127.0.0.1", 0))
listener.settimeout(20)
clients = [socket.create_connection(listener.getsockname()) for _ in range(tcp - 2)]
for i, c in enumerate(clients):
    c.sendall(b"%d" % i)
peer, _ = listener.accept()
print("first", peer.recv(1))
for _ in range(2):
    try:
        listener.accept()
    except OSError as e:
        print("accept", errno.errorcode[e.errno])
        refused["tcp"] += 1
for i in range(1, len(clients)):
    peer.close()
    peer, _ = listener.accept()  # it stayed pending
    print("then", peer.recv(1))
print("refused-tcp", refused["tcp"])
print("refused-other", refused["other"])
