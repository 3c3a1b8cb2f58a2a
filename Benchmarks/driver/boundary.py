"""Members that oscillate around a bound they share, and an adversary that crosses it alone: what it costs the server, and the
slow mode against the fast one and against the choice between them."""
import argparse
import os
import platform
import resource
import signal
import statistics
import subprocess
import time

import plot

KEEP = 4


def half(n):
    return (n + 1) // 2


SIZES = [2, 8, 50, 200, 1000]
QUICK = [2, 8, 50]
CROWDS = [8, 200]
ADVERSARIES = {  # title: what Tests/Programs/boundary.c calls it
    "closes 1": "cross1",
    "closes 4": "cross4",
    "closes 16": "cross16",
    "20 refused, 20 not": "turns20",
}
KINDS = {  # title: (bound beyond what is held, active members, how, mode)
    "all, in turns": (half, lambda n: n, "fits{}", None),
    "all, around it": (half, lambda n: n, "around", None),
    "in turns, slow": (half, lambda n: n, "fits{}", "slow"),
    "around it, slow": (half, lambda n: n, "around", "slow"),
    "all, refused": (lambda n: 0, lambda n: n, "sure", None),
    "one, refused": (lambda n: 0, lambda n: 1, "sure", None),
    "one, unsure": (lambda n: 2, lambda n: 1, "unsure", None),
}


class Measured:
    def __init__(self, out):
        words = out.split()
        self.operations, self.denied, self.seconds, self.server = int(words[1]), int(words[3]), float(words[5]), int(words[7])

    @property
    def each(self):
        """Microseconds of the server for one operation."""
        return self.server / max(1, self.operations)

    @property
    def wall(self):
        return 1e6 * self.seconds / max(1, self.operations)


def run(args, barrier, members, keep, active, how, seconds, mode=None):
    words = [f"{args.top}/.build/release/bcd", "run", "-q", f"-lnumfile={barrier}", "--", f"{args.work}/boundary", str(members), str(keep),
             str(seconds), str(active), how]
    env = {**os.environ, **({"BC_MODE": mode} if mode else {})}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True) as bcd:
        try:
            out, err = bcd.communicate(timeout=seconds + 60)
        except subprocess.TimeoutExpired:
            os.killpg(bcd.pid, signal.SIGKILL)
            raise SystemExit(f"{' '.join(words)}: not done after a minute") from None
    if bcd.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: exit {bcd.returncode}: {err[-500:]}")
    return Measured(out)


def held(members, keep=KEEP):
    return members * keep + 1  # the one that reads the server's statistics


def growth(args):
    found = {}
    for members in args.sizes:
        for kind, (beyond, active, how, mode) in KINDS.items():
            print(f"  {members} members: {kind}", flush=True)
            room = beyond(members)
            one = run(args, held(members) + room, members, KEEP, active(members), how.format(room), args.seconds, mode)
            if how.startswith("fits") and one.denied:
                raise SystemExit(f"{members} members, {kind}: {one.denied} were refused what fits")
            found[kind, members] = one
    return found


def adversary(args):
    """One that crosses the bound as fast as it can: fast, slow and the switch, in turns; medians of what the server had."""
    found = {}
    for members in CROWDS[:1] if args.quick else CROWDS:
        for title, how in ADVERSARIES.items():
            rounds = {mode: [] for mode in ("fast", "slow", None)}
            for turn in range(args.rounds):
                for mode in rounds:
                    print(f"  adversary among {members}: {title}, round {turn + 1}: {mode or 'the switch'}", flush=True)
                    rounds[mode].append(run(args, held(members) + 20, members, KEEP, 1, how, args.seconds, mode).each)
            found[members, title] = {mode: statistics.median(one) for mode, one in rounds.items()}
    return found


def large(args):
    """One process that holds 10 000 descriptors at its barrier: microseconds until a refusal is there."""
    return {how: run(args, held(1, 10000) + beyond, 1, 10000, 1, how, args.seconds).wall for how, beyond in (("sure", 0), ("unsure", 2))}


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return f"{time.strftime('%-d %B %Y')}, {model}, {os.cpu_count()} processors, Linux {platform.release()}, load {os.getloadavg()[0]:.1f} at the start"


def page(args, where, growing, crossing, big):
    rows = [f"Made by `Benchmarks/boundary`. {where}.", "", "Microseconds of the server's processor for one operation, an open with its close or a refused open:", "",
            "| members | " + " | ".join(KINDS) + " |", "|---|" + "---|" * len(KINDS)]
    for members in args.sizes:
        rows.append(f"| {members} | " + " | ".join(f"{growing[kind, members].each:.1f}" for kind in KINDS) + " |")
    rows += ["", "![Processor time of the server for one operation, by members](boundary.svg)", "",
             "An adversary opens until it is refused, closes some and goes on; or is refused so many times in a row and then has room as often.",
             "Microseconds of the server for one open, with each mode kept (`BC_MODE`) and with the switch between them; the last column is the",
             "switch over the better of the two:", "",
             "| among members | adversary | always fast | always slow | the switch | ratio |", "|---|---|---|---|---|---|"]
    for (members, title), one in crossing.items():
        rows.append(f"| {members} | {title} | {one['fast']:.1f} | {one['slow']:.1f} | {one[None]:.1f} | "
                    f"{one[None] / max(0.01, min(one['fast'], one['slow'])):.2f} |")
    rows += ["", f"A process that holds 10 000 descriptors at its barrier hears of a refusal after {big['sure'] / 1000:.2f} ms; where another of them has been shared "
             f"and closed each time, so that all must be counted, an open takes {big['unsure'] / 1000:.2f} ms."]
    return "\n".join(rows) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--top", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--out")
    args = parser.parse_args()
    args.sizes, args.rounds = (QUICK, 1) if args.quick else (SIZES, 3)
    args.seconds = min(args.seconds, 1) if args.quick else args.seconds
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    where = machine()
    growing, crossing, big = growth(args), adversary(args), large(args)
    text = page(args, where, growing, crossing, big)
    print(text)
    if args.quick:
        return
    out = args.out or f"{args.top}/docs"
    series = {kind: [(members, growing[kind, members].each) for members in args.sizes] for kind in KINDS}
    with open(f"{out}/boundary.svg", "w") as file:
        file.write(plot.lines("What one operation at the barrier costs the server", "members", "microseconds of processor time", series))
    path = f"{out}/boundary.md"
    begin, end = "<!-- made: Benchmarks/boundary -->\n", "<!-- end -->\n"
    old = open(path).read()
    with open(path, "w") as file:
        file.write(old[:old.index(begin)] + begin + text + end + old[old.index(end) + len(end):])


main()
