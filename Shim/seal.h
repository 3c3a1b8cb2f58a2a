// Programs that forbid themselves system calls (seccomp(2)), as sshd, man, file and browsers do. A filter that forbids one of the
// shim's would have the program killed for a call it never made: so each filter is asked first what it says to ours.
#ifndef SHIM_SEAL_H
#define SHIM_SEAL_H

#include <stdbool.h>

struct sock_fprog;

// To be called before the kernel is given the filter; null for strict mode. What it forbids the shim does not call any more. Where
// that is the socket, questions go through the mailbox; what the process starts is then counted from outside like a static
// program, for a filter is inherited and the new image cannot know it. Where it forbids futex(2) or rt_sigprocmask(2) too, the
// server is told while it can be, and from then on the process passes every call on as if it were no member. True if any of
// that came of it.
bool seal_before(const struct sock_fprog *filter);

// The kernel did not take the filter.
void seal_undone(void);

#endif
