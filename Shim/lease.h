// The fast path of memory: the real function, then one test for failure. The kernel keeps the count (mm->data_vm) and
// the bound (RLIMIT_DATA, since 4.7); only a refusal reaches us.
#ifndef SHIM_LEASE_H
#define SHIM_LEASE_H

#include "member.h"

// A call that the kernel refused for want of memory, as it is retried.
struct lease_try {
  const char *call;
  int64_t least; // bytes it surely needs
  int64_t want;  // … and what would let it succeed; grows from try to try where that is a guess
  int rounds;
  int unchanged; // how often the lease was said to have room
  unsigned flags; // BC_FLAG_NORESERVE
  struct bc_numbers numbers; // as the call was given them
  unsigned severity; // enum bc_severity
};

// True when the lease has grown: the call is worth another try. False leaves the kernel's refusal to the program.
bool lease_grow(struct lease_try *t);

// Whether the kernel holds this process to a lease.
bool lease_in_force(void);

// Makes room before a call that cannot be tried again (dlopen maps before it fails). Never denies.
void lease_ahead(int64_t bytes, const char *call);

// syscall(2) for SYS_mmap and SYS_mremap, with the lease grown as for the functions of those names: tcmalloc's own go this way.
typedef long raw_call(long, long, long, long, long, long, long);
long lease_syscall(raw_call *next, long number, long a, long b, long c, long d, long e, long f);

// As it is told to the program: its own RLIMIT_DATA, never the lease. False when no lease is in force.
struct rlimit;
bool lease_hides(struct rlimit *shown);
// What the server has kept of it, for an image that did not set it itself.
void lease_own_limit_is(int64_t bytes);
// The program sets its own; error as setrlimit has it, −1 when no lease is in force.
int lease_own_limit(const struct rlimit *set);

#endif
