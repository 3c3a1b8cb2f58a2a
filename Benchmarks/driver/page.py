"""docs/performance.md, from what was measured."""
import os

import plot
import targets


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def amount(value, digits=3):
    """A few digits, none of them for show."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def time_of(nanoseconds):
    for unit, size in (("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{amount(nanoseconds / size)} {unit}"
    return f"{amount(nanoseconds)} ns"


def ratio(one):
    return f"{one['ratio']:.2f}" if one and "ratio" in one else "–"


def with_spread(one):
    return f"{one['ratio']:.3f} ({one['low']:.3f} … {one['high']:.3f})" if one and "ratio" in one else "–"


def why(found, kind):
    """What is physically more in an operation: instructions, minor faults, system calls."""
    reasons = []
    counted, micro = found.get("instructions", {}).get(kind, {}), found.get("micro", {})
    if "far" in counted and "bare" in counted:
        reasons.append(f"+{counted['far'] - counted['bare']:.0f} instructions on {counted['bare']:.0f} outside the kernel")
    calls = found.get("calls", {}).get(kind, {})
    if "far" in calls and "bare" in calls and calls["far"] != calls["bare"]:
        reasons.append(f"{calls['bare']:.1f} → {calls['far']:.1f} system calls")
    faults = micro.get(kind, {}).get("faults", {})
    if "far" in faults and faults["far"] - faults["bare"] >= 0.5:
        reasons.append(f"{faults['bare']:.1f} → {faults['far']:.1f} minor faults")
    empty = micro.get(kind, {}).get("conditions", {}).get("empty", {}).get("ratio")
    if empty:
        reasons.append(f"an empty library preloaded: {empty:.2f} ×")
    return "; ".join(reasons)


def figures_to_reach(found):
    rows = []
    for what, value, most, unit, kind in targets.all_of_them(found):
        reached = "not measured" if value is None else "yes" if value <= most else "no"
        rows.append([what, amount(value) + (f" {unit}" if unit and value is not None else ""), f"{amount(most)} {unit}".strip(), reached,
                     why(found, kind) if kind and reached == "no" else ""])
    return table(["", "measured", "at most", "reached", "what there is more of"], rows)


def ratios(section, names, unit):
    shown = [name for name in names if any(name in one["conditions"] for one in section.values())]
    rows = []
    for one in section.values():
        bare = one["conditions"].get("bare")
        first = time_of(bare["median"] * unit) if bare else "–"
        rows.append([one["title"], first] + [ratio(one["conditions"].get(name)) for name in shown[1:]])
    return table(["", "bare"] + [names[name] for name in shown[1:]], rows)


def ours(section):
    rows = [[one["title"]] + [with_spread(one["conditions"].get(name)) for name in ("far", "memory", "limit")] for one in section.values()]
    return table(["", "far from its limits", "memory bounded too", "at the limit"], rows)


def failures(found, names):
    """What could not be measured is named."""
    lines = []
    for section in ("micro", "programs"):
        for one in found.get(section, {}).values():
            lines += [f"- {one['title']}, {names[name]}: {' '.join(error.split())[:160]}" for name, error in one["errors"].items()]
    return "\n".join(lines)


def server(found):
    rows = []
    for one in found["trips"].values():
        us = one["us"]
        if "echo" not in us or "bcd" not in us:
            rows.append([one["title"], "–", "–", "–", "–", str(one["errors"])[:80]])
            continue
        rows.append([one["title"], f"{us['echo']['median']:.1f} µs", f"{us['bcd']['median']:.1f} µs", with_spread(us["bcd"]),
                     f"{one['rates']['echo']:,.0f}", f"{one['rates']['bcd']:,.0f}"])
    parts = [table(["round trip", "C echo", "bcd", "ratio (quartiles)", "echo, trips/s", "bcd, trips/s"], rows)]
    calls = found["calls"]
    if "error" not in calls:
        on_its_way = ", ".join(f"{calls[f'{name} on its way']:.2f} {what}" for name, what in
                               (("retain", "retains"), ("release", "releases"), ("malloc", "allocations"), ("free", "frees")))
        parts.append(f"Counted by callgrind over {calls['charges']:,} charges of a member that grows, for one charge on its way through the loop and the "
                     f"books: {on_its_way}. {calls['the whole way']:.2%} of them went the whole way, most because a stack was wanted of them; with "
                     f"those and the ticks meanwhile, {calls['retain']:.2f} retains, {calls['malloc']:.2f} allocations and {calls['instructions']:,.0f} "
                     "instructions a charge (callgrind is some fifty times slower than the machine, and the ticks are not).")
    if "error" not in found["system"]:
        parts.append("System calls of bcd for one charge: " + ", ".join(f"{name} {n:.2f}" for name, n in sorted(found["system"].items())) + ".")
    idle = found["idle"]
    if "error" not in idle:
        parts.append(f"Idle: {idle['memory']['VmRSS']:,} KiB resident, of which {idle['memory']['RssAnon']:,} KiB its own; {idle['calls']:.0f} system calls "
                     f"a second; it listens {idle['listening']:.1f} ms after its exec.")
    return "\n\n".join(parts)


def members(found):
    rows = []
    for size, one in found["sizes"].items():
        if "error" in one:
            rows.append([f"{int(size):,}", one["error"], "", "", "", ""])
            continue
        memory = one["memory"]
        rows.append([f"{int(size):,}", f"{one['refused']:,.1f} µs", f"{one['unsure']:,.1f} µs", f"{one['ready'] / int(size):,.2f} ms",
                     f"{memory['RssAnon']:,} KiB", f"{memory['RssShmem']:,} KiB"])
    shim = found["shim"]
    return table(["members", "a refusal after a recall", "… after a recount", "start of a member", "bcd's own memory", "its view of the members' pages"],
                 rows) + (f"\n\nA process pays {shim['dirty']} KiB of private memory for the library, of {shim['library']} KiB mapped, and "
                          f"{shim['page']} KiB for its page of cells, which the server sees too.")


def write(found, names, folder):
    os.makedirs(f"{folder}/performance", exist_ok=True)

    def put(name, svg):
        with open(f"{folder}/performance/{name}.svg", "w", encoding="utf-8") as file:
            file.write(svg)
        return f"![](performance/{name}.svg)\n"

    def values(section, keys=None):
        return [(one["title"], {n: c["ratio"] for n, c in one["conditions"].items() if "ratio" in c and n != "bare"})
                for key, one in section.items() if keys is None or key in keys]

    micro, programs = found["micro"], found["programs"]
    memory = [key for key in micro if key.startswith(("malloc", "larson", "producer"))]
    others = [key for key in micro if key not in memory]
    sizes = [(int(size), one) for size, one in found["members"]["sizes"].items() if "error" not in one]
    plots = {
        "memory": put("memory", plot.bars("Allocations: time over bare", values(micro, memory), names)),
        "calls": put("calls", plot.bars("System calls: time over bare", values(micro, others), names)),
        "programs": put("programs", plot.bars("Real programs: time over bare", values(programs), names)),
        "members": put("members", plot.lines("A refusal, as members grow", "members", "µs", {
            "after a recall": [(n, one["refused"]) for n, one in sizes], "after a recount": [(n, one["unsure"]) for n, one in sizes]})),
    }
    missing = failures(found, names)
    counted = [[one["title"], amount(one["bare"], 4), f"{one['far'] - one['bare']:+.0f}"] for one in found["instructions"].values() if "far" in one]
    called = [[one["title"]] + [amount(one.get(name)) for name in ("bare", "far", "memory")] for one in found["calls"].values()]
    text = f"""# What it costs

Written by `Benchmarks/run`, which anyone can run; nothing here was typed. Measured on {found['date']}, in {found['minutes']:.0f} minutes, on
{found['machine']}; load before the start {found['load']}.

Ratios are to the bare program in the same round: the median over rounds, and where three figures are given the quartiles. In a round
all conditions run one after another in an order drawn anew, so that what else the machine does falls on all alike.
*Far from its limits*: bounds that are never met. *At the limit*: each bound is exactly what the program needs.

## The figures to reach

{figures_to_reach(found)}

Where the rest of what is out of reach goes: [costs.md](costs.md).

## In a beancounter

{ours({**micro, **programs})}

## Beside others

heaptrack, libfiu, pseudo, fakeroot, jemalloc and strace are Debian's. *seccomp notification* is `Benchmarks/programs/supervisor.c`, which lets every call
go on at once: the least that such a supervisor costs. heaptrack is its library alone, writing to /dev/null.

{ratios(micro, names, 1)}

{plots['memory']}
{plots['calls']}

## Real programs

{ratios(programs, names, 1e9)}

{plots['programs']}

## Instructions outside the kernel

By callgrind: the same in every run. For one operation:

{table(["", "bare", "in a beancounter"], counted)}

## System calls

By strace, for one operation with what its children do:

{table(["", "bare", "in a beancounter", "memory bounded too"], called)}

## The server

The echo is `Benchmarks/programs/echo.c`: the same kind of socket, a connection, a question, an answer, a close; nothing is counted in it.

{server(found['server'])}

## As members grow

One member asks for what does not fit. Where nothing is uncertain a recall of everybody's credit settles it; else it takes a recount of
everybody's descriptors.

{members(found['members'])}

{plots['members']}
"""
    if missing:
        text += f"\n## Could not be measured\n\n{missing}\n"
    with open(f"{folder}/performance.md", "w", encoding="utf-8") as file:
        file.write(text)
