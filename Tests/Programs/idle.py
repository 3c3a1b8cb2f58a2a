"""Holds idle connections to a port, more than the server may have; then lets go. argv: port connections seconds"""
import socket, sys, time

port, n, seconds = map(int, sys.argv[1:])
held = [socket.create_connection(("127.0.0.1", port)) for _ in range(n)]
time.sleep(seconds)
for c in held:
    c.close()
