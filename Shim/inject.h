// Failures of memory on request: --fail privvmpages…, --torture.
#ifndef SHIM_INJECT_H
#define SHIM_INJECT_H

#include <stdbool.h>

// What stands between a wrapper and the function that it would reach, where failures were asked for; null everywhere else.
void *inject_find(const char *name);

// Whether the null that this thread has just got is one of ours, so that growing the lease is not the answer to it.
bool inject_refused(void);
// The call is made again after the kernel refused it: it has been asked about.
void inject_again(const char *call);

#endif
