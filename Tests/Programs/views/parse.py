"""Reads /proc/user_beancounters as programs written for the kernel's file do: by columns, an id that ends in a colon, 24
rows for each beancounter. Prints `RESOURCE HELD MAXHELD BARRIER LIMIT FAILCNT` for one of them, or fails.
  parse.py FILE"""
import re, sys

lines = open(sys.argv[1]).read().split("\n")
assert lines.pop() == "", "the last line ends"
assert lines[0] == "Version: 2.5", lines[0]
assert lines[1].split() == ["uid", "resource", "held", "maxheld", "barrier", "limit", "failcnt"], lines[1]
assert all(len(line) == 10 + 2 + 12 + 5 * 21 for line in lines[1:]), "each row has the kernel's width"
uid, rows = None, []
for line in lines[2:]:
    head = re.fullmatch(r" *(\d+):", line[:10])
    if head:
        assert uid is None, "one beancounter: its own"
        uid = int(head[1])
    else:
        assert line[:10].strip() == "", line
    name, *amounts = line[10:].split()
    assert len(amounts) == 5 and all(a.isdigit() for a in amounts), line
    rows.append((name, *map(int, amounts)))
assert uid is not None and len(rows) == 24, (uid, len(rows))
assert [r[0] for r in rows].count("dummy") == 4
print("uid", uid)
for row in rows:
    if row[0] != "dummy":
        print(*row)
