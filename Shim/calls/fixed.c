// The kernel does not hold MAP_FIXED to RLIMIT_DATA where it replaces something: it takes the whole of what is replaced for given
// back, also what had never been counted, such as a reservation of PROT_NONE (mm/vma.c: "Check against address space limit",
// pglen - nr_pages). The JVM commits its heap that way. So such a mapping is made elsewhere, where the kernel holds it, and moved
// to its place, which adds nothing.
#define _GNU_SOURCE
#include "fixed.h"

#include "../lease.h"
#include "../raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { PAGE = 4096 };
// A sanitizer's shadow is left out of what is held, and moving it would take the kernel long.
static const size_t MOST_MOVED = (size_t)1 << 36;

bool replaces(size_t n, int flags) {
  if (!(flags & MAP_FIXED) || flags & (MAP_GROWSDOWN | MAP_HUGETLB) || n == 0 || n >= PTRDIFF_MAX) return false;
  return !(flags & MAP_NORESERVE && n > MOST_MOVED) && lease_in_force();
}

// Both are false where there is no room, and only then; `got` is what the program is told.
static bool by_moving(mmap_function *next, void **got, void *at, size_t n, int prot, int flags, int fd, off_t offset) {
  void *made = *got = next(NULL, n, prot, flags & ~MAP_FIXED, fd, offset);
  if (made == MAP_FAILED) return errno != ENOMEM;
  if (RAW(SYS_mremap, made, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, at) == (long)at) return *got = at, true;
  RAW(SYS_munmap, made, n);
  return *got = next(at, n, prot, flags, fd, offset), true; // the kernel says what is wrong with the place
}

// Where some of the range counts already: a mapping of the rest alone shows that there is room.
static bool after_trying(mmap_function *next, int64_t more, void **got, void *at, size_t n, int prot, int flags, int fd, off_t offset) {
  if (more > 0) {
    long room = RAW(SYS_mmap, 0, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room < 0 && room >= -4095) return false;
    RAW(SYS_munmap, room, more);
  }
  return *got = next(at, n, prot, flags, fd, offset), true;
}

// A line of /proc/self/maps, `start-end rw-p …`, byte by byte.
struct line {
  uintptr_t start, end;
  int field; // 0 start, 1 end, 2 … 5 the four letters, 6 the rest
  bool writable;
};

// Bytes of private writable mappings in [from, to): they count already.
static int64_t counted_within(uintptr_t from, uintptr_t to) {
  long fd = RAW(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return 0;
  int64_t sum = 0;
  char bytes[1024];
  struct line l = {0};
  for (long n; (n = RAW(SYS_read, fd, bytes, sizeof bytes)) > 0;)
    for (long i = 0; i < n; i++) {
      char c = bytes[i];
      if (c == '\n') {
        l = (struct line){0};
      } else if (l.field < 2) {
        uintptr_t *number = l.field ? &l.end : &l.start;
        if (c == '-' || c == ' ') l.field++;
        else *number = *number << 4 | (uintptr_t)(c <= '9' ? c - '0' : c - 'a' + 10);
      } else if (l.field < 6) {
        if (l.field == 3) l.writable = c == 'w';
        if (l.field == 5 && l.writable && c == 'p' && l.start < to && l.end > from)
          sum += (int64_t)((l.end < to ? l.end : to) - (l.start > from ? l.start : from));
        l.field++;
      }
    }
  RAW(SYS_close, fd);
  return sum;
}

__attribute__((noinline, cold)) static void *grown(mmap_function *next, const char *call, void *at, size_t n, int prot, int flags, int fd,
                                                   off_t offset) {
  size_t whole = (n + PAGE - 1) & -(size_t)PAGE;
  int64_t counted = counted_within((uintptr_t)at, (uintptr_t)at + whole), more = (int64_t)whole - counted;
  struct lease_try t = {.call = call, .least = more, .want = more, .flags = flags & MAP_NORESERVE ? BC_FLAG_NORESERVE : 0u,
                        .numbers = {{(int64_t)at, (int64_t)n}}};
  void *got = MAP_FAILED;
  if (counted && after_trying(next, more, &got, at, n, prot, flags, fd, offset) &&
      (got != MAP_FAILED || errno != ENOMEM || more > 0))
    return got;
  while (lease_grow(&t))
    if (counted ? after_trying(next, more, &got, at, n, prot, flags, fd, offset) : by_moving(next, &got, at, n, prot, flags, fd, offset))
      return got;
  // Where the lease had room all the time, RLIMIT_AS may have none for a second mapping.
  struct rlimit space;
  if (t.unchanged && RAW(SYS_prlimit64, 0, RLIMIT_AS, 0, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
    return next(at, n, prot, flags, fd, offset);
  return errno = ENOMEM, MAP_FAILED;
}

void *mmap_in_place(mmap_function *next, const char *call, void *at, size_t n, int prot, int flags, int fd, off_t offset) {
  int before = errno;
  void *got;
  if (!by_moving(next, &got, at, n, prot, flags, fd, offset)) got = grown(next, call, at, n, prot, flags, fd, offset);
  if (got != MAP_FAILED) errno = before;
  return got;
}
