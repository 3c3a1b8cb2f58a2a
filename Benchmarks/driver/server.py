"""The server: what a question takes there, beside a C program that answers without thinking; what it does when idle; what it weighs."""
import os
import re
import shutil
import signal
import statistics
import subprocess
import time

from measure import Failed, figures, interleave, run, summary


class Server:
    """A name for summaries, and how to send it trips."""

    def __init__(self, name, trip):
        self.name, self.trip = name, trip


def trips(bench, clients, own_cpu, server_cpu, milliseconds):
    """us and trips/s of bcd and of the echo, interleaved."""
    pinned = ["taskset", "-c", server_cpu] if server_cpu is not None else []
    program = f"{bench.work}/trips"

    def bcd():
        words = pinned + [f"{bench.top}/.build/release/bcd", "run", "-q", "-lnumfile=1000000000000", "--", "env", "BC_DISABLE=1", program,
                          str(milliseconds), str(clients), own_cpu]
        return figures(run(words))

    def echo():
        path = f"{bench.work}/echo.sock"
        if os.path.exists(path):
            os.unlink(path)
        with subprocess.Popen(pinned + [f"{bench.work}/echo", path]) as server:
            try:
                while not os.path.exists(path):
                    time.sleep(0.005)
                time.sleep(0.01)
                return figures(run([program, str(milliseconds), str(clients), own_cpu, path]))
            finally:
                server.kill()

    return [Server("echo", echo), Server("bcd", bcd)]


def round_trips(bench):
    found = {}
    two = len(os.sched_getaffinity(0)) > 1
    places = [("one", "one client, the same CPU", 1, "0", "0")]
    if two:
        places += [("two", "one client, another CPU", 1, "0", "1"), ("many", "four clients, anywhere", 4, "-1", None)]
    for key, title, clients, own, other in places:
        bench.say(f"round trips: {title}")
        milliseconds = 150 if bench.quick else 400
        rates = {"echo": [], "bcd": []}

        def once(one):
            got = one.trip()
            rates[one.name].append(got["trips"] / got["seconds"])
            return got["us"]

        taken, errors = interleave(trips(bench, clients, own, other, milliseconds), 5 if bench.quick else 15, bench.budget.share(0.1), once)
        found[key] = {"title": title, "us": summary(taken, "echo"), "errors": errors,
                      "rates": {name: statistics.median(values) for name, values in rates.items() if values}}
    return found


COUNTED = {"retain": r"swift_(bridgeObject|unknownObject|nonatomic_)?[rR]etain(_n)?", "release": r"swift_(bridgeObject|unknownObject|nonatomic_)?[rR]elease(_n)?",
           "malloc": r"(malloc|calloc|realloc|posix_memalign|aligned_alloc)", "free": r"free"}

# What a charge goes through that is granted at once: the loop, and what is flat (symbols as Swift mangles them). Ticks, and the
# charges that a stack is wanted of, go elsewhere.
ON_ITS_WAY = re.compile(r"^\$s6ServerAAC(4step|8question|9acceptOne)|6Server(5Seats|4Seat|5Level|5Kinds)V|12Beancounters6LedgerV")
THE_WHOLE_WAY = "$s6Server10AccountingC6answer_"


def called(bench, count):
    """How often bcd called those while it answered so many charges, and the instructions it took, by callgrind."""
    out, folder = f"{bench.work}/callgrind-{count}", f"{bench.work}/bare-symbols"
    if not os.path.exists(folder):  # valgrind 3.19 cannot read Swift's debugging information; the symbols stay
        os.makedirs(folder)
        run(["objcopy", "--strip-debug", f"{bench.top}/.build/release/bcd", f"{folder}/bcd"])
        shutil.copy(f"{bench.top}/.build/release/beancounter_Wire.resources/libbeancounter.so", folder)
    try:
        run(["valgrind", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no", f"--callgrind-out-file={out}", f"{folder}/bcd", "run",
             "-q", "-lnumfile=1000000000000", "--", "env", "BC_DISABLE=1", "LD_PRELOAD=", f"{bench.work}/trips", f"x{count}", "1", "-1"],
            env={**os.environ, "LD_PRELOAD": f"{bench.work}/pidfd.so"}, seconds=200)
    finally:
        end_those_named(out)
    found = dict.fromkeys([*COUNTED, *(f"{name} on its way" for name in COUNTED), "the whole way"], 0)
    caller = callee = ""
    with open(out, encoding="utf-8", errors="replace") as text:
        for line in text:
            if line.startswith("fn="):
                caller = line[3:].strip()
            elif line.startswith("cfn="):
                callee = line[4:].strip()
            elif line.startswith("calls="):
                times = int(line[6:].split()[0])
                found["the whole way"] += times if THE_WHOLE_WAY in callee else 0
                for name, pattern in COUNTED.items():
                    if re.fullmatch(pattern, callee):
                        found[name] += times
                        found[f"{name} on its way"] += times if ON_ITS_WAY.search(caller) else 0
            elif line.startswith(("totals:", "summary:")):
                found["instructions"] = int(line.split()[1])
    return found


def end_those_named(word):
    """Without pidfds bcd does not see that its last member has ended, and a copy of it goes on."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as text:
                if f"--callgrind-out-file={word}\0" in text.read():
                    os.kill(int(pid), signal.SIGKILL)
        except OSError:
            pass


def calls_of_a_charge(bench):
    bench.say("what bcd calls for a charge")
    few, many = 1000, 11000 if bench.quick else 101000
    try:
        before, after = called(bench, few), called(bench, many)
    except Failed as error:
        return {"error": str(error)}
    return {"charges": many - few, **{name: (after[name] - before[name]) / (many - few) for name in before}}


def system_calls_of_a_charge(bench):
    """By name, for one charge, at one client on the same CPU."""
    bench.say("system calls of bcd for a charge")
    counted = []
    try:
        for count in (1000, 3000):
            out = f"{bench.work}/server-calls"
            run(["taskset", "-c", "0", "strace", "-q", "-c", "-U", "calls,name", "-o", out, f"{bench.top}/.build/release/bcd", "run", "-q",
                 "-lnumfile=1000000000000", "--", "env", "BC_DISABLE=1", f"{bench.work}/trips", f"x{count}", "1", "0"])
            with open(out, encoding="utf-8") as text:
                lines = [line.split() for line in text]
            counted.append({line[1]: int(line[0]) for line in lines if len(line) == 2 and line[0].isdigit() and line[1] != "total"})
    except Failed as error:
        return {"error": str(error)}
    each = {name: (n - counted[0].get(name, 0)) / 2000 for name, n in counted[1].items()}
    return {name: n for name, n in each.items() if abs(n) > 0.005}


def memory_of(pid):
    """Private and shared memory in KiB."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as text:
        lines = dict(line.split(":", 1) for line in text)
    return {name: int(lines[name].split()[0]) for name in ("VmRSS", "RssAnon", "RssFile", "RssShmem")}


def idle(bench):
    """A shared server with nobody in it."""
    bench.say("an idle server")
    socket = f"{bench.work}/bcd.sock"
    ready = []
    for _ in range(5 if bench.quick else 21):
        try:
            ready.append(float(run([f"{bench.work}/ready", socket, f"{bench.top}/.build/release/bcd", "--socket", socket])))
        except Failed as error:
            return {"error": str(error)}
    with subprocess.Popen([f"{bench.top}/.build/release/bcd", "--socket", socket], stderr=subprocess.DEVNULL) as server:
        try:
            while not os.path.exists(socket):
                time.sleep(0.01)
            time.sleep(0.5)
            weight = memory_of(server.pid)
            out = f"{bench.work}/idle-calls"
            with subprocess.Popen(["strace", "-q", "-c", "-o", out, "-p", str(server.pid)], stderr=subprocess.DEVNULL) as watcher:
                time.sleep(2)
                watcher.send_signal(signal.SIGINT)
            with open(out, encoding="utf-8") as text:
                total = [line.split() for line in text if line.split()[-1:] == ["total"]]
        finally:
            server.terminate()
    return {"listening": statistics.median(ready), "memory": weight, "calls": int(total[0][3]) / 2 if total else 0}


def all_of_it(bench):
    return {"trips": round_trips(bench), "calls": calls_of_a_charge(bench), "system": system_calls_of_a_charge(bench), "idle": idle(bench)}
