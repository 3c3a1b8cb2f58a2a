"""Runs a command in a terminal of its own: terminal.py STEP… -- COMMAND ARG…

Steps: type:KEYS (with backslash escapes), until:TEXT (waits for it among what came since the step before), signal:NAME,
stopped: (waits until the command has stopped). Prints an object: how the command ended, and at each stop and at the end
whether the terminal was as before and the first screen was back.
"""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

cut = sys.argv.index("--")
steps, command = sys.argv[1:cut], sys.argv[cut + 1:]
pid, terminal = pty.fork()
if pid == 0:
    time.sleep(0.1)  # the size comes first
    os.execvp(command[0], command)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
before = termios.tcgetattr(terminal)
seen, mark, status = b"", 0, None


def read(seconds):
    global seen
    if select.select([terminal], [], [], seconds)[0]:
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # nobody has the other end open
            time.sleep(seconds)


def wait(what, done):
    end = time.time() + 20
    while not done():
        if time.time() > end:
            os.kill(pid, signal.SIGKILL)
            sys.exit(f"no {what} in 20 s; the terminal shows {seen[-3000:]!r}")
        read(0.05)


def ended(flags):
    global status
    found, code = os.waitpid(pid, os.WNOHANG | flags)
    if found:
        status = code
    return found != 0


def state():
    while select.select([terminal], [], [], 0.05)[0]:
        size = len(seen)
        read(0.05)
        if len(seen) == size:
            break
    return {
        "restored": termios.tcgetattr(terminal) == before,
        "left": seen.rfind(b"\x1b[?1049l") > seen.rfind(b"\x1b[?1049h") and seen.rfind(b"\x1b[?25h") > seen.rfind(b"\x1b[?25l"),
    }


stops = []
for step in steps:
    verb, _, text = step.partition(":")
    if verb == "until":
        wait(repr(text), lambda: text.encode() in seen[mark:])
    elif verb == "stopped":
        wait("stop", lambda: ended(os.WUNTRACED))
        if not os.WIFSTOPPED(status):
            sys.exit(f"ended with {status:#x} instead of stopping")
        stops.append(state())
    else:
        mark = len(seen)
        if verb == "type":
            os.write(terminal, text.encode().decode("unicode_escape").encode("latin-1"))
        elif verb == "signal":
            os.kill(pid, signal.Signals["SIG" + text])
        else:
            sys.exit(f"no step {step}")
wait("end", lambda: ended(0))
print(json.dumps({
    "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
    "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
    "stops": stops, "end": state(), "seen": seen.decode(errors="replace"),
}))
