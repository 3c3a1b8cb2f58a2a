"""What a denial costs as a beancounter grows, and what each of its members costs the server and itself."""
import os
import resource
import signal
import subprocess
import time

from measure import figures
from server import memory_of

SIZES = [1, 10, 100, 1000, 10000]
LONGEST = 90  # seconds for one size


def one_size(bench, members, seconds):
    words = [f"{bench.top}/.build/release/bcd", "run", "-q", f"-lnumfile={members + 1}", "-lnumproc=100000", "--", f"{bench.work}/many",
             str(members), "100" if bench.quick else "300"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          start_new_session=True) as bcd:
        weight, end = None, time.monotonic() + seconds
        while bcd.poll() is None and time.monotonic() < end:
            try:
                weight = memory_of(bcd.pid)
            except (OSError, KeyError, ProcessLookupError):
                pass
            time.sleep(0.05)
        if bcd.poll() is None:
            os.killpg(bcd.pid, signal.SIGKILL)
            bcd.communicate()
            return {"error": f"not done after {seconds:.0f} s"}
        out, err = bcd.communicate()
    if bcd.returncode != 0 or not out:
        return {"error": (err or out).strip()[-200:] or f"exit {bcd.returncode}"}
    return {**figures(out), "memory": weight}


def grow(bench):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = {}
    for members in SIZES if not bench.quick else SIZES[:3]:
        bench.say(f"members: {members}")
        found[members] = one_size(bench, members, max(5, min(LONGEST, bench.budget.left() * 0.6)))
        if "error" in found[members]:
            break
    return found


def shim(bench):
    """Private memory that the library costs a process: its own mapping, dirty, and the page of cells, in KiB."""
    bench.say("memory of the shim")
    script = "f=open('/dev/null')\nfor l in open('/proc/self/smaps'): print(l, end='')"
    words = [f"{bench.top}/.build/release/bcd", "run", "-q", "-lnumfile=100", "--", "/usr/bin/python3", "-S", "-c", script]
    text = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout
    found = {"library": 0, "dirty": 0, "page": 0}
    name = ""
    for line in text.splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            name = words[5] if len(words) > 5 else ""
        elif name.endswith("libbeancounter.so") and words[0] == "Rss:":
            found["library"] += int(words[1])
        elif name.endswith("libbeancounter.so") and words[0] == "Private_Dirty:":
            found["dirty"] += int(words[1])
        elif "beancounter" in name and "memfd" in name and words[0] == "Rss:":
            found["page"] += int(words[1])
    return found


def all_of_it(bench):
    return {"sizes": grow(bench), "shim": shim(bench)}
