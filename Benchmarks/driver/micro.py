"""One kind of operation at a time: time, minor faults, instructions, system calls."""
import conditions
from measure import Failed, figures, instructions, interleave, run, summary, system_calls

SIZES = [16, 64, 256, 1024, 4096, 65536, 1 << 20]
KINDS = [
    ("open", "open+close"), ("fopen", "fopen+fclose"), ("socket", "socket+close (TCP)"), ("unix", "socket+close (UNIX)"),
    ("pipe", "pipe+close+close"), ("dup", "dup+close"), ("mmap", "mmap+munmap, 64 KiB"), ("mprotect", "mprotect, twice"),
    ("flock", "flock, lock and unlock"), ("fork", "fork+wait"), ("vfork", "vfork+exec+wait"), ("spawn", "posix_spawn+wait"),
    ("thread", "pthread_create+join"), ("true", "starting true"),
]
UNACCOUNTED = [("read", "read"), ("write", "write"), ("send", "send+recv"), ("fstat", "fstat"), ("stat", "stat")]
MANY = {"malloc:64", "malloc:4096", "open", "fopen", "socket", "unix", "pipe", "dup", "mmap", "mprotect", "flock", "read", "write", "send",
        "fstat", "stat"}
CALLS = ["open", "dup", "flock", "thread", "fork", "vfork", "spawn", "true"]


def kinds(quick):
    """(key, title, kind for micro, threads)"""
    if quick:
        chosen = {"open", "dup", "mmap", "flock", "fork", "spawn", "thread", "true"}
        return [("malloc:64/1", "malloc+free, 64 B", "malloc:64", 1)] + [(k, t, k, 1) for k, t in KINDS if k in chosen]
    made = []
    for size in SIZES:
        title = f"{size} B" if size < 1024 else f"{size >> 10} KiB" if size < 1 << 20 else "1 MiB"
        for threads in (1, 2):
            made.append((f"malloc:{size}/{threads}", f"malloc+free, {title}" + (", two threads" if threads > 1 else ""), f"malloc:{size}", threads))
    made.append(("larson/1", "larson", "larson", 1))
    made.append(("larson/2", "larson, two threads", "larson", 2))
    made.append(("producer", "producer and consumer", "producer", 1))
    return made + [(k, t, k, 1) for k, t in KINDS]


def times(bench):
    """{key: {title, conditions: summary, faults}}"""
    found = {}
    chosen = kinds(bench.quick)
    until = bench.budget.share(0.06 if bench.quick else 0.5)
    for number, (key, title, kind, threads) in enumerate(chosen):
        bench.say(f"micro: {title}")
        words = [f"{bench.work}/micro", kind, "8" if bench.quick else "20", str(threads)]
        limits = conditions.limits_of(bench.top, bench.work, words)
        faults = {}

        def once(one):
            got = figures(run(one.before(limits) + words, env=one.environment(), seconds=60))
            faults.setdefault(one.name, []).append(got["faults"])
            return got["ns"]

        fair = bench.budget.share_of(until, len(chosen) - number)
        taken, errors = interleave([c for c in bench.conditions if c.fits(kind)], 3 if bench.quick else 9, fair, once)
        found[key] = {"title": title, "conditions": summary(taken, "bare"), "errors": errors, "limits": limits,
                      "faults": {name: min(values) for name, values in faults.items()}}
    return found


def counts(bench):
    """Instructions of one operation, bare and in a beancounter: exact, for callgrind counts them."""
    found = {}
    titles = dict(KINDS + UNACCOUNTED) | {"malloc:64": "malloc+free, 64 B", "malloc:4096": "malloc+free, 4 KiB"}
    far = next(c for c in bench.conditions if c.name == "far")
    chosen = [k for k in titles if k in (MANY if not bench.quick else {"malloc:64", "open", "dup", "flock", "read", "stat"})]
    for kind in chosen:
        bench.say(f"instructions: {titles[kind]}")
        few, many = 1000, 3000
        one = {"title": titles[kind]}
        for name, before in (("bare", []), ("far", far.before())):
            try:
                counted = [instructions((before, [f"{bench.work}/micro", kind, f"x{n}"])) for n in (few, many)]
                one[name] = (counted[1] - counted[0]) / (many - few)
            except Failed as error:
                one["error"] = str(error)
        found[kind] = one
    return found


def calls(bench):
    """System calls of one operation, children's included."""
    found = {}
    titles = dict(KINDS)
    for kind in CALLS if not bench.quick else ["open", "fork", "true"]:
        bench.say(f"system calls: {titles[kind]}")
        one = {"title": titles[kind]}
        for condition in bench.conditions:
            if condition.name not in ("bare", "far", "memory"):
                continue
            try:
                counted = [system_calls(condition.before(), [f"{bench.work}/micro", kind, f"x{n}"], bench.work) for n in (10, 50)]
                one[condition.name] = (counted[1] - counted[0]) / 40
            except Failed as error:
                one["error"] = str(error)
        found[kind] = one
    return found
