"""The figures to reach, and what was measured for each."""


def ratio(found, section, key, condition="far"):
    one = found.get(section, {}).get(key, {}).get("conditions", {}).get(condition)
    return one and one.get("ratio")


def extra(found, kind):
    one = found.get("instructions", {}).get(kind, {})
    return round(one["far"] - one["bare"], 1) if "far" in one and "bare" in one else None  # a start-up differs by a few


def largest(values):
    known = [v for v in values if v is not None]
    return max(known) if known else None


def trip(found, place):
    return found.get("server", {}).get("trips", {}).get(place, {}).get("us", {}).get("bcd", {}).get("ratio")


def per_charge(found):
    calls = found.get("server", {}).get("calls", {})
    return round(sum(calls[f"{name} on its way"] for name in ("retain", "release", "malloc", "free")), 2) if "retain" in calls else None


def per_member(found):
    """KiB of the server's own memory for each member, between the two greatest sizes that were reached."""
    sizes = [(n, one["memory"]["RssAnon"]) for n, one in found.get("members", {}).get("sizes", {}).items() if one.get("memory")]
    if len(sizes) < 2:
        return None
    (few, before), (many, after) = sizes[-2:]
    return (after - before) / (many - few)


def idle(found, *path):
    one = found.get("server", {}).get("idle", {})
    for name in path:
        one = one.get(name) if one else None
    return one


def all_of_them(found):
    """(what, measured, at most, unit, kinds that explain it)"""
    def micro(key, condition="far"):
        return ratio(found, "micro", key, condition)

    programs = [key for key in found.get("programs", {}) if key != "storm"]
    # Those that free as they allocate.
    at_limit = [ratio(found, "micro", key, "limit") for key in found.get("micro", {}) if key.startswith(("malloc", "larson", "mmap"))]
    unaccounted = [extra(found, kind) for kind in ("read", "write", "send", "fstat", "stat")]
    return [
        ("malloc+free of 64 bytes, instructions more", extra(found, "malloc:64"), 6, "", "malloc:64"),
        ("malloc+free of 64 bytes", micro("malloc:64/1"), 1.05, "×", "malloc:64"),
        ("memory at the limit, freed as it is allocated", largest(at_limit), 1.3, "×", None),
        ("open+close", micro("open"), 1.02, "×", "open"),
        ("dup+close", micro("dup"), 1.05, "×", "dup"),
        ("mmap+munmap", micro("mmap"), 1.02, "×", "mmap"),
        ("fork+wait", micro("fork"), 1.10, "×", "fork"),
        ("posix_spawn+wait", micro("spawn"), 1.05, "×", "spawn"),
        ("pthread_create+join", micro("thread"), 1.05, "×", "thread"),
        ("flock", micro("flock"), 1.05, "×", "flock"),
        ("starting true from a member", micro("true"), 1.15, "×", "true"),
        ("real programs, the dearest", largest(ratio(found, "programs", key) for key in programs), 1.02, "×", None),
        ("a fork+exec storm", ratio(found, "programs", "storm"), 1.10, "×", "true"),
        ("calls that are not accounted, instructions more", largest(unaccounted), 0, "", "stat"),
        ("round trip of the server, over a C echo's, same CPU", trip(found, "one"), 1.10, "×", None),
        ("… the client on another CPU", trip(found, "two"), 1.10, "×", None),
        ("retains, releases, allocations and frees for a charge", per_charge(found), 0, "", None),
        ("server's memory for a member", per_member(found), 2, "KiB", None),
        ("idle server, resident", idle(found, "memory", "VmRSS"), 10240, "KiB", None),
        ("from the server's exec until it listens", idle(found, "listening"), 15, "ms", None),
    ]
