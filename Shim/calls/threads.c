// Threads: charged before they are made; their ends are counted where it matters.
#define _GNU_SOURCE
#include "lease.h"
#include "next.h"
#include "raw.h"
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <threads.h>

// A thread's end is not seen (pthread_exit, cancellation, joins that never come): its unit stays until somebody counts. The
// links of /proc/self/task are the threads and two (fs/proc/base.c proc_task_getattr). False where that cannot be read.
static bool threads_counted(struct bc_page *page) {
  int32_t ended = bc_load32(bc_page_threads_ended(page));
  // In this order: what is made meanwhile is in the kernel's count and not in ours, never the other way about.
  int32_t made = bc_load32(bc_page_threads_made(page));
  struct stat task;
  if (RAW(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &task, 0) < 0 || task.st_nlink < 3) return false;
  int32_t gone = made - ended - ((int32_t)task.st_nlink - 3);
  if (gone > 0 && bc_cas32(bc_page_threads_ended(page), ended, ended + gone)) credit_give(bc_page_cell(page, BC_NUMPROC), gone);
  return true;
}

struct charge thread_begin(const char *call) {
  struct charge c = charge_of(member_page(), 0);
  if (!c.page) return c;
  struct bc_cell *cell = bc_page_cell(c.page, BC_NUMPROC);
  if (likely(credit_take(cell, 1))) return c;
  // A new maximum, or no credit: now there is no doubt about what this process has. Where every charge is to ask, the server
  // counts.
  if (bc_load(&cell->low) < bc_low_armed() && threads_counted(c.page) && credit_take_sure(cell, 1)) {
    credit_lowest(cell, bc_load(&cell->credit));
    return c;
  }
  return charge_slowly(c.page, BC_NUMPROC, 1, EAGAIN, call, NULL);
}

void thread_end(struct charge c, bool made) {
  if (c.page) {
    __atomic_store_n(&bc_page_cell(c.page, BC_NUMPROC)->uncertain, 1, __ATOMIC_SEQ_CST);
    if (made) bc_add32(bc_page_threads_made(c.page), 1);
  }
  charge_end(c, BC_NUMPROC, !made);
}

static int64_t stack_bytes(const pthread_attr_t *attr) {
  size_t stack = 8 << 20, guard = 4096;
  pthread_attr_t standard;
  if (!attr && pthread_getattr_default_np(&standard) == 0) {
    pthread_attr_getstacksize(&standard, &stack);
    pthread_attr_getguardsize(&standard, &guard);
    pthread_attr_destroy(&standard);
  } else if (attr) {
    pthread_attr_getstacksize(attr, &stack);
    pthread_attr_getguardsize(attr, &guard);
  }
  return (int64_t)(stack + guard);
}

SAME_PROTOTYPE(pthread_create, int, (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *));
EXPORT(int, pthread_create, (pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *argument)) {
  struct charge c = thread_begin("pthread_create");
  if (unlikely(c.error)) return c.error;
  int error = NEXT(pthread_create)(thread, attr, run, argument);
  if (unlikely(error == EAGAIN)) {
    int64_t bytes = stack_bytes(attr);
    struct lease_try t = {.call = "pthread_create", .least = bytes, .want = bytes, .numbers = {{bytes}}};
    while (error == EAGAIN && lease_grow(&t)) {
      error = NEXT(pthread_create)(thread, attr, run, argument);
    }
  }
  thread_end(c, error == 0);
  return error;
}

SAME_PROTOTYPE(thrd_create, int, (thrd_t *, thrd_start_t, void *));
EXPORT(int, thrd_create, (thrd_t *thread, thrd_start_t run, void *argument)) {
  struct charge c = thread_begin("thrd_create");
  if (unlikely(c.error)) return thrd_error;
  int error = NEXT(thrd_create)(thread, run, argument);
  int64_t bytes = stack_bytes(NULL);
  struct lease_try t = {.call = "thrd_create", .least = bytes, .want = bytes, .numbers = {{bytes}}};
  while (error == thrd_nomem && lease_grow(&t)) error = NEXT(thrd_create)(thread, run, argument);
  thread_end(c, error == thrd_success);
  return error;
}
