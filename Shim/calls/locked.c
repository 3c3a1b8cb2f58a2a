// lockedpages: the length of what is locked, resident or not; ENOMEM. Ranges may overlap, and unmapping unlocks unseen: an
// upper estimate until a recount (VmLck).
#define _GNU_SOURCE
#include "next.h"
#include "owned.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

// From the page that `at` is in to the page that the last byte is in: as the kernel rounds (mlock(2)).
static int64_t pages_between(const void *at, size_t n) {
  uintptr_t start = (uintptr_t)at & -(uintptr_t)PAGE, end;
  if (n == 0 || __builtin_add_overflow((uintptr_t)at, n, &end)) return 0;
  return (int64_t)((end - start) / PAGE + ((end - start) % PAGE != 0));
}

static struct charge lock_begin(int64_t pages, const char *call, const void *at, size_t n) {
  return pages ? charge_begin_with(BC_LOCKEDPAGES, pages, ENOMEM, call, (int64_t)at, (int64_t)n) : (struct charge){0};
}

static void lock_end(struct charge c, int64_t pages, bool done) {
  if (!c.page) return;
  if (done) uncertain(c.page, BC_LOCKEDPAGES);
  charge_end(c, BC_LOCKEDPAGES, done ? 0 : pages);
}

#define MLOCK(name, params, args)                                        \
  SAME_PROTOTYPE(name, int, params);                                     \
  EXPORT(int, name, params) {                                            \
    int64_t pages = pages_between(at, n);                                \
    struct charge c = lock_begin(pages, #name, at, n);                   \
    if (unlikely(c.error)) return errno = c.error, -1;                   \
    int error = NEXT(name) args;                                         \
    lock_end(c, pages, error == 0);                                      \
    return error;                                                        \
  }
MLOCK(mlock, (const void *at, size_t n), (at, n))
MLOCK(mlock2, (const void *at, size_t n, unsigned flags), (at, n, flags))

// Everything that is mapped now (first field of statm, proc(5)). What is mapped later under MCL_FUTURE, a recount sees.
static int64_t mapped_pages(void) {
  char text[32];
  long fd = RAW(SYS_openat, AT_FDCWD, "/proc/self/statm", O_RDONLY | O_CLOEXEC), n = fd < 0 ? -1 : RAW(SYS_read, fd, text, sizeof text - 1);
  if (fd >= 0) RAW(SYS_close, fd);
  int64_t pages = 0;
  for (long i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++) pages = pages * 10 + (text[i] - '0');
  return pages;
}

SAME_PROTOTYPE(mlockall, int, (int));
EXPORT(int, mlockall, (int flags)) {
  int64_t pages = flags & MCL_CURRENT && member_page() ? mapped_pages() : 0;
  struct charge c = lock_begin(pages, "mlockall", NULL, (size_t)pages * PAGE);
  if (unlikely(c.error)) return errno = c.error, -1;
  int error = NEXT(mlockall)(flags);
  lock_end(c, pages, error == 0);
  return error;
}

#define MUNLOCK(name, params, args)                                      \
  SAME_PROTOTYPE(name, int, params);                                     \
  EXPORT(int, name, params) {                                            \
    int error = NEXT(name) args;                                         \
    struct bc_page *page = member_joined();                              \
    if (page && error == 0) uncertain(page, BC_LOCKEDPAGES);             \
    return error;                                                        \
  }
MUNLOCK(munlock, (const void *at, size_t n), (at, n))
MUNLOCK(munlockall, (void), ())
