// numsiginfo: queued signals that carry data, and POSIX timers (each has its record from the start, kernel/time/posix-timers.c).
// EAGAIN, as sigqueue(3) and timer_create(2) have it for the bound of a user. Who takes a signal off its queue is not seen,
// but for what a thread sends itself and does not block. All others stay charged until a recount;
// that does not make the row "uncertain", which would cost every signal a question: its maxheld is an upper estimate.
#define _GNU_SOURCE
#include "next.h"
#include "owned.h"
#include "raw.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/single_threaded.h>
#include <time.h>
#include <unistd.h>

// One that the sending thread does not block, and that is for it alone, is delivered before the call that sent it returns.
static bool delivered(int number) {
  uint64_t blocked = ~UINT64_C(0);
  RAW(SYS_rt_sigprocmask, SIG_BLOCK, 0, &blocked, sizeof blocked);
  return number >= 1 && number <= 64 && !(blocked >> (number - 1) & 1);
}

SAME_PROTOTYPE(sigqueue, int, (pid_t, int, union sigval));
EXPORT(int, sigqueue, (pid_t pid, int number, union sigval value)) {
  if (number == 0) return NEXT(sigqueue)(pid, number, value); // only asks whether it may
  struct charge c = charge_begin_with(BC_NUMSIGINFO, 1, EAGAIN, "sigqueue", pid, number);
  if (unlikely(c.error)) return errno = c.error, -1;
  int error = NEXT(sigqueue)(pid, number, value);
  bool gone = !c.page || error || (__libc_single_threaded && pid == (pid_t)RAW(SYS_getpid, 0) && delivered(number));
  charge_end(c, BC_NUMSIGINFO, gone);
  return error;
}

SAME_PROTOTYPE(pthread_sigqueue, int, (pthread_t, int, const union sigval));
EXPORT(int, pthread_sigqueue, (pthread_t thread, int number, const union sigval value)) {
  if (number == 0) return NEXT(pthread_sigqueue)(thread, number, value);
  struct charge c = charge_begin_with(BC_NUMSIGINFO, 1, EAGAIN, "pthread_sigqueue", 0, number);
  if (unlikely(c.error)) return c.error;
  int error = NEXT(pthread_sigqueue)(thread, number, value);
  bool gone = !c.page || error || (pthread_equal(thread, pthread_self()) && delivered(number));
  charge_end(c, BC_NUMSIGINFO, gone);
  return error;
}

// Without data it is kill(2), which is delivered bare where there is no record to be had.
SAME_PROTOTYPE(pidfd_send_signal, int, (int, int, siginfo_t *, unsigned));
EXPORT(int, pidfd_send_signal, (int pidfd, int number, siginfo_t *info, unsigned flags)) {
  if (number == 0 || !info) return NEXT(pidfd_send_signal)(pidfd, number, info, flags);
  struct charge c = charge_begin_with(BC_NUMSIGINFO, 1, EAGAIN, "pidfd_send_signal", pidfd, number);
  if (unlikely(c.error)) return errno = c.error, -1;
  int error = NEXT(pidfd_send_signal)(pidfd, number, info, flags);
  charge_end(c, BC_NUMSIGINFO, error != 0);
  return error;
}

SAME_PROTOTYPE(timer_create, int, (clockid_t, struct sigevent *, timer_t *));
EXPORT(int, timer_create, (clockid_t clock, struct sigevent *event, timer_t *timer)) {
  struct charge c = charge_begin_with(BC_NUMSIGINFO, 1, EAGAIN, "timer_create", clock, 0);
  if (unlikely(c.error)) return errno = c.error, -1;
  int error = NEXT(timer_create)(clock, event, timer);
  charge_end(c, BC_NUMSIGINFO, error != 0);
  return error;
}

SAME_PROTOTYPE(timer_delete, int, (timer_t));
EXPORT(int, timer_delete, (timer_t timer)) {
  struct bc_page *page = member_joined();
  struct bc_cell *cell = page ? bc_page_cell(page, BC_NUMSIGINFO) : NULL;
  if (cell) __atomic_fetch_add(&cell->pending, 1, __ATOMIC_SEQ_CST);
  int error = NEXT(timer_delete)(timer);
  if (cell && error == 0) credit_give(cell, 1);
  if (cell) credit_settle(cell);
  return error;
}
