// New tasks and new images: what is charged before, what is noted after.
#ifndef SHIM_TASK_H
#define SHIM_TASK_H

#include "credit.h"

#include <sys/types.h>

// A child about to be made.
struct task {
  struct charge charge; // its unit of numproc; .error is the errno to refuse with
  bool booked;          // the server has booked a lease for it
  struct bc_page *marked; // where a fork is said to be under way
};

struct task task_begin(enum bc_birth birth, const char *call, const char *detail);
// In the parent: the child, BC_NOTE_OVER, BC_NOTE_SECRET, or −1 when the kernel refused. Keeps errno.
void task_end(struct task t, pid_t child, const char *path);
// It has been reaped: what was charged for it is back.
void task_reaped(pid_t child);

// Before an exec; 0, or the errno to refuse with.
int exec_begin(const char *call, const char *path);
// It came back: it failed. Keeps errno.
void exec_failed(void);

#endif
