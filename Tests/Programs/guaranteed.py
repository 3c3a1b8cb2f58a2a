"""Memory in blocks until it is refused. argv: MiB at most. Prints the MiB it got."""
import mmap, sys

kept = []
try:
    while len(kept) < int(sys.argv[1]):
        kept.append(mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
except OSError:
    pass
print(len(kept))
