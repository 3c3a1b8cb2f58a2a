// A thread that reads debugging information has a processor for tens of milliseconds, and whoever is woken on the same one waits
// until the next tick of the kernel, up to 4 ms: a member would be slowed by being watched.
#define _GNU_SOURCE
#include "cwitness.h"

#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { YIELD_NS = 500 * 1000 };

static void yield_now(int signal) {
  (void)signal;
  sched_yield();
}

// Of the thread that comes first: there is one that unwinds.
static bool make(timer_t *timer) {
  struct sigaction act = {.sa_handler = yield_now, .sa_flags = SA_RESTART};
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
  event._sigev_un._tid = gettid();
  return sigaction(SIGALRM, &act, NULL) == 0 && timer_create(CLOCK_MONOTONIC, &event, timer) == 0;
}

void witness_yield_often(bool on) {
  static timer_t timer;
  static enum { NEW, MADE, NONE } state;
  if (state == NEW) state = make(&timer) ? MADE : NONE;
  struct itimerspec every = {{0, on ? YIELD_NS : 0}, {0, on ? YIELD_NS : 0}};
  if (state == MADE) timer_settime(timer, 0, &every, NULL);
}
