// New tasks and new images: what is asked before, what is said after.
#ifndef SHIM_TASK_H
#define SHIM_TASK_H

#include "wire.h"

#include <sys/types.h>

// 0, or the errno to refuse with. Says to the server how the child comes to be.
int task_begin(enum bc_birth birth, const char *call, const char *detail);
// In the parent: the child, 0 when it has been and gone, −1 when the kernel refused. Keeps errno.
void task_end(enum bc_birth birth, pid_t child, const char *detail);

// Before an exec; 0, or the errno to refuse with.
int exec_begin(const char *call, const char *path);
// It came back: it failed. Keeps errno.
void exec_failed(void);

#endif
