// syscall(2) for chroot, unshare, setns and pivot_root, as for the functions of those names: container runtimes go this way.
#ifndef SHIM_ELSEWHERE_H
#define SHIM_ELSEWHERE_H

#include "lease.h"

bool elsewhere_moves(long number, long a);
long elsewhere_syscall(raw_call *next, long number, long a, long b, long c, long d, long e, long f);

#endif
