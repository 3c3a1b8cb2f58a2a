"""A program that meets its limit and survives: it opens every file of a folder, and says what happened."""
import os
import sys

folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.__file__)
opened, refused = [], 0
for name in sorted(os.listdir(folder)):
    try:
        opened.append(open(os.path.join(folder, name), "rb"))
    except IsADirectoryError:
        pass
    except OSError as error:
        refused += 1
        reason = error.strerror
lines = sum(file.read().count(b"\n") for file in opened)
print(f"read {lines} lines of {len(opened)} files in {folder}")
if refused:
    print(f"{refused} more could not be opened: {reason}")
