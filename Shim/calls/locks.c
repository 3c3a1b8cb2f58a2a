// flock(2), byte ranges and leases. Refused as the kernels' locks.c did: ENOMEM for flock and leases, ENOLCK for ranges.
#define _GNU_SOURCE
#include "locks.h"

#include "leave.h"
#include "next.h"
#include "raw.h"

#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

static void release_pending(struct bc_page *page) {
  __atomic_fetch_add(&bc_page_cell(page, BC_NUMFLOCK)->pending, 1, __ATOMIC_SEQ_CST);
}

// MARK: flock(2): one record for each open file description

typedef int flock_function(int, int);

// While it waited for the lock; or just after it had it, which a recount finds.
static void flock_left(void *begun) {
  struct charge *c = begun;
  if (c->page) uncertain(c->page, BC_NUMFLOCK);
  charge_end(*c, BC_NUMFLOCK, 1);
}

static void flock_again_left(void *page) {
  uncertain(page, BC_NUMFLOCK);
  credit_settle(bc_page_cell(page, BC_NUMFLOCK));
}

// Another descriptor, or another process, may have locked the description before: charged until a recount knows.
__attribute__((noinline)) static int flock_unsure(flock_function *next, struct bc_page *page, int fd, int operation) {
  bool unlock = (operation & ~LOCK_NB) == LOCK_UN;
  struct charge c = {0};
  owned_locked(page, fd);
  if (!unlock) c = charge_begin_with(BC_NUMFLOCK, 1, ENOMEM, "flock", fd, operation);
  if (unlikely(c.error)) return errno = c.error, -1;
  int error = LEAVABLE(flock_left, &c, next(fd, operation));
  charge_end(c, BC_NUMFLOCK, error ? 1 : 0);
  uncertain(page, BC_NUMFLOCK);
  return error;
}

static int flock_first(flock_function *next, struct bc_page *page, int fd, int operation) {
  struct charge c = charge_begin_with(BC_NUMFLOCK, 1, ENOMEM, "flock", fd, operation);
  if (unlikely(c.error)) return errno = c.error, -1;
  int error = LEAVABLE(flock_left, &c, next(fd, operation));
  // Shared meanwhile: whoever unlocks it, its unit waits for a recount.
  if (likely(error == 0 && c.page) && !owned_change(page, fd, BC_OWNED_FILE, BC_OWNED_FLOCKED)) uncertain(page, BC_NUMFLOCK);
  charge_end(c, BC_NUMFLOCK, error ? 1 : 0);
  return error;
}

// Its unit is in hand: the lock is converted, which adds none, or given up.
static int flock_again(flock_function *next, struct bc_page *page, int fd, int operation) {
  bool unlock = (operation & ~LOCK_NB) == LOCK_UN;
  struct bc_cell *cell = bc_page_cell(page, BC_NUMFLOCK);
  release_pending(page);
  int error = LEAVABLE(flock_again_left, page, next(fd, operation));
  if (likely(unlock && error == 0)) credit_give(cell, 1);
  // A conversion that fails may have lost the old lock (flock(2)).
  else if (error || !owned_change(page, fd, BC_OWNED_FILE, BC_OWNED_FLOCKED)) uncertain(page, BC_NUMFLOCK);
  credit_settle(cell);
  return error;
}

SAME_PROTOTYPE(flock, int, (int, int));
EXPORT(int, flock, (int fd, int operation)) {
  struct bc_page *page = member_page();
  if (unlikely(page == NULL)) return NEXT(flock)(fd, operation);
  bool unlock = (operation & ~LOCK_NB) == LOCK_UN;
  unsigned what = owned_what(page, fd);
  if (likely(what == BC_OWNED_FILE)) return unlock ? NEXT(flock)(fd, operation) : flock_first(NEXT(flock), page, fd, operation);
  if (likely(what == BC_OWNED_FLOCKED) && owned_change(page, fd, BC_OWNED_FLOCKED, BC_OWNED_FILE))
    return flock_again(NEXT(flock), page, fd, operation);
  // The mark goes: where a lock is taken, it is more than a file.
  if (unlikely(what == BC_OWNED_WATCHED) && owned_change(page, fd, BC_OWNED_WATCHED, BC_OWNED_FILE)) return bc_flock(fd, operation);
  return flock_unsure(NEXT(flock), page, fd, operation);
}

// MARK: Byte ranges

// A request before it is made, and what was charged for it.
struct lock_request {
  struct bc_page *page;
  struct range_request ranges;
  struct charge charge;
};

// Start and end as fcntl(2) reads them; end before start where the kernel must say what is wrong, or where only it
// knows (SEEK_END).
static struct range range_of(int fd, const struct flock *f, enum range_owner owner) {
  struct range r = {.start = f->l_start, .end = -1, .fd = fd, .type = f->l_type, .owner = (int16_t)owner};
  long at = f->l_whence == SEEK_CUR ? RAW(SYS_lseek, fd, 0, SEEK_CUR) : 0;
  bool known = (f->l_whence == SEEK_SET || f->l_whence == SEEK_CUR) && at >= 0 &&
               !__builtin_add_overflow(r.start, at, &r.start) && r.start >= 0;
  if (!known) return r;
  if (f->l_len > 0) r.end = f->l_len > INT64_MAX - r.start ? -1 : r.start + f->l_len - 1;
  else if (f->l_len == 0) r.end = INT64_MAX;
  else if (r.start + f->l_len >= 0) r.end = r.start - 1, r.start += f->l_len;
  return r;
}

// 0, or the errno to refuse with.
static int lock_begin(struct lock_request *l, int fd, const struct flock *f, enum range_owner owner, const char *call) {
  l->page = member_page();
  l->charge = (struct charge){0};
  if (unlikely(l->page == NULL)) return 0;
  l->ranges = ranges_begin(l->page, range_of(fd, f, owner));
  if (l->ranges.more > 0) {
    // SOFT: an unlock that cuts a range in two is the one that may pass the barrier (2.6.18 fs/locks.c).
    unsigned severity = f->l_type == F_UNLCK ? BC_SOFT : BC_HARD;
    l->charge = charge_severely(l->page, BC_NUMFLOCK, l->ranges.more, severity, ENOLCK, (struct about){.call = call, .numbers = {{fd, f->l_start, f->l_len}}});
    if (!l->charge.error && !l->charge.page) l->ranges.sure = false; // let through uncharged
  } else {
    release_pending(l->page);
  }
  return l->charge.error;
}

static void lock_end(struct lock_request *l, bool done, const char *call) {
  if (unlikely(l->page == NULL)) return;
  struct bc_cell *cell = bc_page_cell(l->page, BC_NUMFLOCK);
  bool sure = done && ranges_done(l->page, &l->ranges);
  // Not sure: the range may have been cut by this one, which is one record more than was charged.
  if (done && !sure) charge_force(BC_NUMFLOCK, 1, call);
  if (sure && l->ranges.more < 0) credit_give(cell, -l->ranges.more);
  if (l->ranges.more > 0) charge_end(l->charge, BC_NUMFLOCK, done ? 0 : l->ranges.more);
  else credit_settle(cell);
}

static void lock_left(void *begun) {
  struct lock_request *l = begun;
  if (l->page) uncertain(l->page, BC_NUMFLOCK);
  lock_end(l, false, NULL);
}

// MARK: fcntl(2)

static int leased_by(int (*next)(int, int, long), const char *call, int fd, long type) {
  struct charge c = {0};
  if (type != F_UNLCK) c = charge_begin_with(BC_NUMFLOCK, 1, ENOMEM, call, fd, 0);
  if (unlikely(c.error)) return errno = c.error, -1;
  int error = next(fd, F_SETLEASE, type);
  struct bc_page *page = member_joined();
  if (page) uncertain(page, BC_NUMFLOCK); // breaking it, or closing, frees it unseen
  charge_end(c, BC_NUMFLOCK, error ? 1 : 0);
  return error;
}

int locked_by(int (*next)(int, int, long), const char *call, int fd, int command, long argument) {
  if (command == F_SETLEASE) return leased_by(next, call, fd, argument);
  struct flock asked;
  if (unlikely(!member_page())) return next(fd, command, argument);
  if (unlikely(!copied(&asked, (const void *)argument, sizeof asked))) return next(fd, command, argument);
  struct lock_request l;
  bool description = command == F_OFD_SETLK || command == F_OFD_SETLKW;
  if (description) owned_locked(member.page, fd);
  int error = lock_begin(&l, fd, &asked, description ? RANGE_DESCRIPTION : RANGE_PROCESS, call);
  if (unlikely(error)) return errno = error, -1;
  int result = LEAVABLE(lock_left, &l, next(fd, command, argument));
  lock_end(&l, result == 0, call);
  return result;
}

#define LOCKF(name)                                                                                  \
  SAME_PROTOTYPE(name, int, (int, int, off_t));                                                      \
  EXPORT(int, name, (int fd, int command, off_t n)) {                                                \
    if (command == F_TEST) return NEXT(name)(fd, command, n);                                        \
    struct flock asked = {.l_type = command == F_ULOCK ? F_UNLCK : F_WRLCK, .l_whence = SEEK_CUR, .l_len = n}; \
    struct lock_request l;                                                                           \
    int error = lock_begin(&l, fd, &asked, RANGE_PROCESS, #name);                                    \
    if (unlikely(error)) return errno = error, -1;                                                   \
    int result = LEAVABLE(lock_left, &l, NEXT(name)(fd, command, n));                                \
    lock_end(&l, result == 0, #name);                                                                \
    return result;                                                                                   \
  }
LOCKF(lockf)
LOCKF(lockf64)
