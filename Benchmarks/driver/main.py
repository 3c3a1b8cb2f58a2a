"""The driver of Benchmarks/run."""
import argparse
import datetime
import json
import os
import platform
import sys
import time

import conditions
import members
import micro
import page
import programs
import server
from measure import Budget


class Bench:
    def __init__(self, options):
        self.top, self.work, self.quick = options.top, options.work, options.quick
        self.conditions = conditions.all_of_them(self.top, self.work)
        if self.quick:
            self.conditions = [c for c in self.conditions if c.name in ("bare", "far", "memory", "empty", "libfiu", "notify")]
        self.minutes = options.minutes or (2 if self.quick else 20)
        self.start = time.monotonic()
        # What callgrind and the servers take does not shrink with the time.
        self.budget = Budget(self.minutes * 60)

    def say(self, what):
        print(f"[{time.monotonic() - self.start:5.0f} s] {what}", file=sys.stderr, flush=True)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as text:
        model = next((line.split(":")[1].strip() for line in text if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    return f"{os.cpu_count()} CPUs ({model}), {memory} GiB, Linux {platform.release()}, {' '.join(platform.libc_ver())}"


SECTIONS = {
    "instructions": lambda bench: {"instructions": micro.counts(bench), "calls": micro.calls(bench)},
    "server": lambda bench: {"server": server.all_of_it(bench)},
    "members": lambda bench: {"members": members.all_of_it(bench)},
    "micro": lambda bench: {"micro": micro.times(bench)},
    "programs": lambda bench: {"programs": programs.times(bench)},
}


def main():
    parser = argparse.ArgumentParser(prog="Benchmarks/run", add_help=False)
    parser.add_argument("--top", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=list(SECTIONS))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--out")
    options = parser.parse_args()
    bench = Bench(options)
    found = {"date": datetime.date.today().isoformat(), "machine": machine(), "load": f"{os.getloadavg()[0]:.2f}"}
    for name in options.only or SECTIONS:
        found |= SECTIONS[name](bench)
    found["minutes"] = (time.monotonic() - bench.start) / 60
    names = {c.name: c.title for c in bench.conditions}
    print(f"{found['date']}, {found['machine']}, load before the start {found['load']}\n")
    if not options.only:
        print(page.figures_to_reach(found))
    if "micro" in found or "programs" in found:
        print("\n" + page.ours({**found.get("micro", {}), **found.get("programs", {})}))
        for section, unit in (("micro", 1), ("programs", 1e9)):
            if section in found:
                print("\n" + page.ratios(found[section], names, unit))
    for kind, one in found.get("instructions", {}).items():
        print(f"{one['title']}: {one.get('bare', 0):.1f} instructions bare, {one.get('far', 0) - one.get('bare', 0):+.1f} in a beancounter {one.get('error', '')}")
    for one in found.get("calls", {}).values():
        print(f"{one['title']}: system calls " + ", ".join(f"{k} {v:.1f}" for k, v in one.items() if isinstance(v, float)), one.get("error", ""))
    if "server" in found:
        print("\n" + page.server(found["server"]))
    if "members" in found:
        print("\n" + page.members(found["members"]))
    print("\n" + page.failures(found, names))
    if not options.quick and not options.only:
        folder = options.out or f"{options.top}/docs"
        page.write(found, names, folder)
        with open(f"{folder}/performance/figures.json", "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
        print(f"written: {folder}/performance.md")


if __name__ == "__main__":
    main()
