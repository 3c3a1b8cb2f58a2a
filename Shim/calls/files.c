// Descriptors: closed, duplicated, made in pairs, held by streams.
#define _GNU_SOURCE
#include "elsewhere.h"
#include "ask.h"
#include "duplicates.h"
#include "lease.h"
#include "locks.h"
#include "next.h"
#include "owned.h"
#include "raw.h"
#include "seal.h"
#include "views.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <mntent.h>
#include <mqueue.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define CLOSES(name)                                                     \
  EXPORT(int, name, (int fd)) {                                          \
    struct release r = release_begin(fd);                                \
    int error = NEXT(name)(fd);                                          \
    release_end(r, fd, error == 0 || errno != EBADF);                    \
    return error;                                                        \
  }
SAME_PROTOTYPE(close, int, (int));
CLOSES(close)
CLOSES(__close)
CLOSES(mq_close)

// What a range of descriptors has charged, by row: no longer ours before they are closed, so that a number that another
// thread opens meanwhile is not taken for one of them.
struct closing {
  struct bc_page *page;
  uint32_t generation; // of before they are closed, without BC_RANGES_HELD
  int32_t units[BC_RESOURCES];
};

static void range_begin(struct closing *r, unsigned first, unsigned last) {
  *r = (struct closing){.page = member_joined()};
  if (r->page) r->generation = bc_page_generation(r->page);
  for (unsigned fd = first; r->page && fd <= last && fd < BC_OWNED_FDS; fd++) {
    if (!__atomic_load_n(owned_word(r->page, (int)fd), __ATOMIC_RELAXED)) continue;
    uint16_t was = owned_take(r->page, (int)fd);
    if (__atomic_load_n(&r->page->generation, __ATOMIC_SEQ_CST) & BC_RANGES_HELD) uncertain(r->page, BC_NUMFLOCK);
    bool grouped = bc_word_is_group(was), own = was >> 3 == r->generation;
    unsigned what = grouped ? duplicate_leaves_with_others(r->page, was) : own ? was & 7 : 0;
    unsigned rows[] = {BC_NUMFILE, owned_second(what)};
    for (int i = 0; what && i < (rows[1] ? 2 : 1); i++) {
      __atomic_fetch_add(&bc_page_cell(r->page, rows[i])->pending, 1, __ATOMIC_SEQ_CST);
      r->units[rows[i]]++;
    }
  }
}

static void range_end(struct closing *r, bool closed) {
  bool ours = r->page && r->generation == bc_page_generation(r->page);
  for (unsigned row = 0; r->page && row < BC_RESOURCES; row++) {
    if (!r->units[row]) continue;
    if (closed && ours) credit_give(bc_page_cell(r->page, row), r->units[row]);
    else uncertain(r->page, row);
    __atomic_fetch_sub(&bc_page_cell(r->page, row)->pending, r->units[row], __ATOMIC_SEQ_CST);
  }
  if (r->page && closed) release_end(release_of(r->page, -1), -1, true); // some of them may have been shared
}

SAME_PROTOTYPE(close_range, int, (unsigned, unsigned, int));
EXPORT(int, close_range, (unsigned first, unsigned last, int flags)) {
  if (flags & (int)CLOSE_RANGE_CLOEXEC || first > last) return NEXT(close_range)(first, last, flags);
  struct closing r;
  range_begin(&r, first, last);
  int error = NEXT(close_range)(first, last, flags);
  range_end(&r, error == 0);
  return error;
}

SAME_PROTOTYPE(closefrom, void, (int));
EXPORT(void, closefrom, (int first)) {
  struct closing r;
  range_begin(&r, first < 0 ? 0 : (unsigned)first, ~0u);
  NEXT(closefrom)(first);
  range_end(&r, true);
}

SAME_PROTOTYPE(dup, int, (int));
EXPORT(int, dup, (int fd)) {
  struct duplicate d = duplicate_begin(fd);
  int copy = NEXT(dup)(fd);
  duplicate_end(d, fd, copy);
  return copy;
}

#define DUP_OVER(name, params, args)                                     \
  EXPORT(int, name, params) {                                            \
    if (old == new) return NEXT(name) args;                              \
    struct duplicate d = duplicate_begin(old);                           \
    struct release r = release_begin(new);                               \
    int fd = NEXT(name) args;                                            \
    release_end(r, new, fd >= 0);                                        \
    duplicate_end(d, old, fd);                                           \
    return fd;                                                           \
  }
SAME_PROTOTYPE(dup2, int, (int, int));
SAME_PROTOTYPE(dup3, int, (int, int, int));
DUP_OVER(dup2, (int old, int new), (old, new))
DUP_OVER(__dup2, (int old, int new), (old, new))
DUP_OVER(dup3, (int old, int new, int flags), (old, new, flags))

#define FCNTL(name)                                                      \
  EXPORT(int, name, (int fd, int command, long argument)) {              \
    if (unlikely(locks(command))) return locked_by(NEXT(name), #name, fd, command, argument); \
    if (command != F_DUPFD && command != F_DUPFD_CLOEXEC) return NEXT(name)(fd, command, argument); \
    struct duplicate d = duplicate_begin(fd);                            \
    int copy = NEXT(name)(fd, command, argument);                        \
    duplicate_end(d, fd, copy);                                          \
    return copy;                                                         \
  }
FCNTL(fcntl)
FCNTL(fcntl64)
FCNTL(__fcntl)

// Both ends, or none.
static void both_made(struct charge c, const int fds[2], int error) {
  if (c.page && error == 0) {
    owned_set(c, fds[0], BC_OWNED_FILE);
    owned_set(c, fds[1], BC_OWNED_FILE);
  }
  charge_end(c, BC_NUMFILE, error ? 2 : 0);
}

#define PIPE(name, params, args)                                         \
  EXPORT(int, name, params) {                                            \
    struct charge c = charge_begin(BC_NUMFILE, 2, ENFILE, #name, NULL);  \
    if (unlikely(c.error)) return errno = c.error, -1;                   \
    int error = NEXT(name) args;                                         \
    both_made(c, fds, error);                                            \
    return error;                                                        \
  }
SAME_PROTOTYPE(pipe, int, (int[2]));
SAME_PROTOTYPE(pipe2, int, (int[2], int));
PIPE(pipe, (int fds[2]), (fds))
PIPE(__pipe, (int fds[2]), (fds))
PIPE(pipe2, (int fds[2], int flags), (fds, flags))

// With a descriptor it changes that one and makes none.
SAME_PROTOTYPE(signalfd, int, (int, const sigset_t *, int));
EXPORT(int, signalfd, (int fd, const sigset_t *mask, int flags)) {
  if (fd != -1) return NEXT(signalfd)(fd, mask, flags);
  struct charge c = charge_begin(BC_NUMFILE, 1, ENFILE, "signalfd", NULL);
  if (unlikely(c.error)) return errno = c.error, -1;
  int made = NEXT(signalfd)(fd, mask, flags);
  file_made(c, made);
  return made;
}

// Another process's description: charged here too, until a recount sees that the two are one.
SAME_PROTOTYPE(pidfd_getfd, int, (int, int, unsigned));
EXPORT(int, pidfd_getfd, (int pidfd, int fd, unsigned flags)) {
  struct charge c = charge_begin_with(BC_NUMFILE, 1, ENFILE, "pidfd_getfd", pidfd, fd);
  if (unlikely(c.error)) return errno = c.error, -1;
  struct bc_request borrow = {.kind = BC_BORROW, .amount = pidfd, .want = fd};
  struct bc_answer answer;
  ask_text(borrow.call, sizeof borrow.call, "pidfd_getfd");
  if (c.page) not_alone(c.page), ask(&borrow, &answer, NULL); // whose it is must know first
  int got = NEXT(pidfd_getfd)(pidfd, fd, flags);
  if (c.page) __atomic_store_n(&bc_page_cell(c.page, BC_NUMFILE)->uncertain, 1, __ATOMIC_SEQ_CST);
  charge_end(c, BC_NUMFILE, got < 0);
  return got;
}

// A stream in memory has −1 for a descriptor.
#define CLOSES_STREAM(name)                                              \
  EXPORT(int, name, (FILE *file)) {                                      \
    int fd = file ? fileno_unlocked(file) : -1;                          \
    struct release r = release_begin(fd);                                \
    int result = NEXT(name)(file);                                       \
    release_end(r, fd, fd >= 0);                                         \
    return result;                                                       \
  }
SAME_PROTOTYPE(fclose, int, (FILE *));
SAME_PROTOTYPE(endmntent, int, (FILE *));
SAME_PROTOTYPE(pclose, int, (FILE *));
CLOSES_STREAM(fclose)
CLOSES_STREAM(_IO_fclose)
CLOSES_STREAM(endmntent)
CLOSES_STREAM(__endmntent)
CLOSES_STREAM(pclose)

// It closes no descriptor that matters: glibc flushes every stream and leaves the files to the process's end.
SAME_PROTOTYPE(fcloseall, int, (void));
EXPORT(int, fcloseall, (void)) { return NEXT(fcloseall)(); }

// The stream's own file goes, another comes, on the same descriptor where the kernel and glibc can manage.
#define FREOPEN(name)                                                    \
  EXPORT(FILE *, name, (const char *path, const char *mode, FILE *file)) { \
    int old = fileno_unlocked(file);                                     \
    struct charge c = charge_begin(BC_NUMFILE, 1, ENFILE, #name, path);  \
    if (unlikely(c.error)) return errno = c.error, NULL;                 \
    int view = view_before_freopen(path, mode), why = errno;             \
    char at[32];                                                         \
    snprintf(at, sizeof at, "/proc/self/fd/%d", view);                   \
    struct release r = release_begin(old);                               \
    FILE *made = NEXT(name)(view < 0 ? path : at, mode, file);           \
    if (view >= 0) RAW(SYS_close, view);                                 \
    else if (!made && why) errno = why;                                  \
    why = made && path ? view_replace_meminfo(fileno_unlocked(made), path) : 0; \
    if (unlikely(why)) ((int (*)(FILE *))next_find("fclose"))(made), made = NULL, errno = why; \
    release_end(r, old, old >= 0);                                       \
    file_made(c, made ? fileno_unlocked(made) : -1);                     \
    return made;                                                         \
  }
FREOPEN(freopen)
FREOPEN(freopen64)

SAME_PROTOTYPE(opendir, DIR *, (const char *));
EXPORT(DIR *, opendir, (const char *path)) {
  struct charge c = charge_begin(BC_NUMFILE, 1, ENFILE, "opendir", path);
  if (unlikely(c.error)) return errno = c.error, NULL;
  DIR *made = NEXT(opendir)(path);
  if (!made) view_open(AT_FDCWD, path, O_DIRECTORY); // no view can be listed: only says why
  file_made(c, made ? dirfd(made) : -1);
  return made;
}

SAME_PROTOTYPE(closedir, int, (DIR *));
EXPORT(int, closedir, (DIR *directory)) {
  int fd = directory ? dirfd(directory) : -1;
  struct release r = release_begin(fd);
  int error = NEXT(closedir)(directory);
  release_end(r, fd, fd >= 0);
  return error;
}

// What a program obtains through syscall(2) is not refused here; that it does so is said in the report.
static bool obtains(long number) {
  switch (number) {
#ifdef SYS_open
    case SYS_open: case SYS_creat: case SYS_pipe: case SYS_fork: case SYS_vfork: case SYS_dup2:
#endif
    case SYS_openat: case SYS_openat2: case SYS_socket: case SYS_socketpair: case SYS_accept: case SYS_accept4:
    case SYS_pipe2: case SYS_clone: case SYS_clone3: case SYS_brk: case SYS_io_uring_setup: return true;
    default: return false;
  }
}

// Both ways to give the kernel a filter; libseccomp and browsers take the first.
static bool seals(long number, long a, long b, long c) {
  if (number == SYS_seccomp && a == SECCOMP_SET_MODE_FILTER) return seal_before((const struct sock_fprog *)c);
  if (number == SYS_seccomp && a == SECCOMP_SET_MODE_STRICT) return seal_before(NULL);
  if (number == SYS_prctl && a == PR_SET_SECCOMP) return seal_before(b == SECCOMP_MODE_FILTER ? (const struct sock_fprog *)c : NULL);
  return false;
}

static long sealing(raw_call *next, long number, long a, long b, long c, long d, long e, long f) {
  bool sealed = seals(number, a, b, c);
  long result = next(number, a, b, c, d, e, f);
  if (sealed && result < 0) seal_undone();
  return result;
}

SAME_PROTOTYPE(prctl, int, (int, ...));
EXPORT(int, prctl, (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)) {
  bool sealed = seals(SYS_prctl, option, (long)a, (long)b);
  int result = NEXT(prctl)(option, a, b, c, d);
  if (sealed && result < 0) seal_undone();
  return result;
}

// All seven words are passed on, so that the call is a jump and even SYS_vfork finds its stack as it was.
EXPORT(long, syscall, (long number, long a, long b, long c, long d, long e, long f)) {
  if (number == SYS_close) { // libuv's, to have no cancellation point
    struct release r = release_begin((int)a);
    long error = NEXT(syscall)(number, a, b, c, d, e, f);
    release_end(r, (int)a, error == 0 || errno != EBADF);
    return error;
  }
  if (number == SYS_statx) // libuv's too
    return view_statx((int)NEXT(syscall)(number, a, b, c, d, e, f), (int)a, (const char *)b, (int)c, (unsigned)d, (struct statx *)e);
  if (number == SYS_seccomp || number == SYS_prctl) return sealing(NEXT(syscall), number, a, b, c, d, e, f);
  if (number == SYS_mmap || number == SYS_mremap) return lease_syscall(NEXT(syscall), number, a, b, c, d, e, f);
  if (unlikely(elsewhere_moves(number, a))) return elsewhere_syscall(NEXT(syscall), number, a, b, c, d, e, f);
  if (unlikely(obtains(number))) {
    struct bc_page *page = member_page();
    if (page) bc_page_makes_raw_calls(page);
  }
  return NEXT(syscall)(number, a, b, c, d, e, f);
}
