// Programs that forbid themselves system calls (seccomp(2)), as sshd, man, file and browsers do. A filter that forbids one of the
// shim's would have the program killed for a call it never made: so each filter is asked first what it says to ours.
#ifndef SHIM_SEAL_H
#define SHIM_SEAL_H

#include <stdbool.h>

struct sock_fprog;

// To be called before the kernel is given the filter; null for strict mode. Where it forbids what a question to the server
// takes, the server is told while it can be, and from then on the process passes every call on as if it were no member: it is
// counted from outside like a static program, and so is all that it starts. True if that came of it.
bool seal_before(const struct sock_fprog *filter);

// The kernel did not take the filter.
void seal_undone(void);

#endif
