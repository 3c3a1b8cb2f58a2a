"""Prints how oom_score_adj moves with memory. argv: own value, MiB of memory"""
import os, subprocess, sys, time

own, size = int(sys.argv[1]), int(sys.argv[2])

def value(pid="self"):
    with open(f"/proc/{pid}/oom_score_adj") as f:
        return int(f.read())

def wait(what, pid="self"):
    end = time.time() + 20
    while not what(value(pid)) and time.time() < end:
        time.sleep(0.02)
    return what(value(pid))

with open("/proc/self/oom_score_adj", "w") as f:
    f.write(str(own))
time.sleep(1.2)
print("below:", value() == own)
memory = bytearray(b"x") * (size << 20)
print("above:", wait(lambda v: v > own))
print("shares:", value())
child = subprocess.Popen(["sleep", "1000"])
print("child:", wait(lambda v: v > own, child.pid))
del memory
print("below again:", wait(lambda v: v == own))
print("child again:", wait(lambda v: v == own, child.pid))
child.kill()
child.wait()
