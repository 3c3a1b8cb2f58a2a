"""Holds what can be seen and not refused. argv: seconds, MiB of memory, bytes in a UNIX socket"""
import socket, sys, time

seconds, size, sent = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
memory = bytearray(b"x") * (size << 20)
a, b = socket.socketpair()
a.send(b"x" * sent)
print("ready", flush=True)
time.sleep(seconds)
