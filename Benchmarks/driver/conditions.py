"""What a program is run under."""
import json
import os

from measure import Failed, run

ROWS = ["numfile", "numproc", "numtcpsock", "numothersock", "numflock", "privvmpages"]
FAR = {"numfile": 10_000_000, "numproc": 1_000_000, "numtcpsock": 1_000_000, "numothersock": 1_000_000, "numflock": 1_000_000}
MUCH = 1 << 28  # pages


class Condition:
    """A name, what goes before a command, and what it is of interest for."""

    def __init__(self, name, title, before=None, env=None, fits=None, ours=False):
        self.name, self.title, self.ours = name, title, ours
        self._before, self._env, self._fits = before or [], env or {}, fits

    def fits(self, kind):
        return self._fits is None or self._fits(kind)

    def before(self, limits=None):
        return list(self._before)

    def environment(self):
        return {**os.environ, **self._env}


class AtLimit(Condition):
    """Bounds of exactly what the workload needs, found beforehand."""

    def before(self, limits=None):
        if not limits:
            raise Failed("no bounds were found that it just fits in")
        return self._before + [f"-l{row}={amount}" for row, amount in limits.items()] + ["--"]


def beancounter(top, bounds, name, title):
    before = [f"{top}/.build/release/bcd", "run", "-q"] + [f"-l{row}={amount}" for row, amount in bounds.items()]
    return Condition(name, title, before + ["--"], ours=True)


def all_of_them(top, work):
    def of_memory(kind):
        return kind.split(":")[0] in ("malloc", "larson", "producer", "python", "sqlite", "gcc", "redis")

    def not_of_memory(kind):
        return kind.split(":")[0] not in ("malloc", "larson", "producer", "mmap", "mprotect", "read", "write", "send", "fstat")

    def starts(kind):
        return kind in ("fork", "vfork", "spawn", "true", "storm", "thread")

    jemalloc, heaptrack = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", "/usr/lib/heaptrack/libheaptrack_preload.so"
    watched = "trace=open,openat,close,socket,socketpair,accept,accept4,pipe,pipe2,dup,dup2,dup3,flock,fork,vfork,clone,clone3,execve"
    far = beancounter(top, FAR, "far", "bcrun")
    return [
        Condition("bare", "bare"),
        far,
        beancounter(top, {**FAR, "privvmpages": MUCH}, "memory", "bcrun, memory bounded too"),
        AtLimit("limit", "bcrun, at the limit", [f"{top}/.build/release/bcd", "run", "-q"], ours=True),
        # What any preloaded library costs: the kernel and the dynamic linker map it, and each fork copies its mappings.
        Condition("empty", "an empty library", env={"LD_PRELOAD": f"{work}/empty.so"}, fits=starts),
        # Its library alone, and nobody that packs what it writes: in its favour.
        Condition("heaptrack", "heaptrack", env={"LD_PRELOAD": heaptrack, "DUMP_HEAPTRACK_OUTPUT": "/dev/null"}, fits=of_memory),
        Condition("libfiu", "libfiu", ["fiu-run", "-x"]),
        Condition("pseudo", "pseudo", ["pseudo"], env={"PSEUDO_PREFIX": "/usr", "PSEUDO_LOCALSTATEDIR": f"{work}/pseudo",
                                                       "PSEUDO_NOSYMLINKEXP": "1"}, fits=not_of_memory),
        Condition("fakeroot", "fakeroot", ["fakeroot"], fits=not_of_memory),
        Condition("jemalloc", "jemalloc", env={"LD_PRELOAD": jemalloc}, fits=of_memory),
        Condition("strace", "strace --seccomp-bpf", ["strace", "-f", "--seccomp-bpf", "-qq", "-e", watched, "-o", "/dev/null"], fits=not_of_memory),
        Condition("notify", "seccomp notification", [f"{work}/supervisor"], fits=lambda kind: kind.split(":")[0] not in ("read", "write", "send", "fstat")),
    ]


def limits_of(top, work, words, cwd=None):
    """The least bounds that let a command through without a denial: what it held at most, or somewhat more."""
    file = f"{work}/report.json"

    def report(bounds):
        given = [f"-l{row}={amount}" for row, amount in bounds.items()]
        try:
            run([f"{top}/.build/release/bcd", "run", f"--report={file}", "--report-format=json"] + given + ["--"] + words, cwd=cwd, check=False)
            with open(file, encoding="utf-8") as text:
                return json.load(text)
        except (OSError, ValueError, Failed):
            return None  # it did not start

    first = report({**FAR, "privvmpages": MUCH})
    if not first:
        return None
    held = {one["resource"]: one["maxheld"] for one in first["resources"]}
    # maxheld of memory is exact to within one lease, and a program starts in its parent's: somewhat more may be needed.
    for more in (0, 1, 4):
        for times in (1, 1, 1.05, 1.1, 1.25, 1.5, 2, 3, 5, 8, 13, 21):
            bounds = {row: max(1, int(held.get(row, 0) * times) if row == "privvmpages" else held.get(row, 0) + more) for row in ROWS}
            if passes(report(bounds)) and not does_with_less(report, bounds):
                return bounds
    return None


def passes(said):
    return said and not said["denials"] and said["exit"]["code"] == 0


def does_with_less(report, bounds):
    """Whether it holds more memory where there is twice as much: then it has gone without, at a price that is not ours. glibc
    that gets no arena for a thread tries again at each malloc, and maps each block by itself: a thousand times the time, bare
    under ulimit -d as well."""
    said = report({**bounds, "privvmpages": 2 * bounds["privvmpages"]})
    held = next((one["maxheld"] for one in said["resources"] if one["resource"] == "privvmpages"), 0) if said else 0
    return held > bounds["privvmpages"]
