// New tasks and new images: what is charged before, what is noted after.
#ifndef SHIM_TASK_H
#define SHIM_TASK_H

#include "credit.h"
#include "images.h"

#include <sys/types.h>

// A child about to be made.
struct task {
  struct charge charge; // its unit of numproc; .error is the errno to refuse with
  bool under_way;       // counted in the page's `forking`
  bool booked;          // a birth: a lease for it is in the books
  struct bc_page *marked; // where a fork is said to be under way
};

// `image`: what it will run, where that is known.
struct task task_begin(enum bc_birth birth, const char *call, const struct image *image);
// In the parent: the child, BC_NOTE_OVER, BC_NOTE_SECRET, or −1 when the kernel refused. Keeps errno.
void task_end(struct task t, pid_t child, const char *path);
// It has been reaped: what was charged for it is back.
void task_reaped(pid_t child);

// The same of a thread, whose end nobody is told of.
struct charge thread_begin(const char *call);
void thread_end(struct charge c, bool made);

// Before an exec in place.
struct exec {
  int error; // to refuse with
  enum { EXEC_UNSEEN, EXEC_MARKED, EXEC_TOLD } how;
};
struct exec exec_begin(const char *call, const struct image *image);
// It came back: it failed. Keeps errno.
void exec_failed(struct exec e);

#endif
