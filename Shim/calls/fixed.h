// Private memory that is to replace what is mapped at its address.
#ifndef SHIM_FIXED_H
#define SHIM_FIXED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef void *mmap_function(void *, size_t, int, int, int, off_t);

// Whether a mapping that counts asks for a place that the kernel would give it beyond the lease.
bool replaces(size_t n, int flags);

// mmap(2) with MAP_FIXED, held to the lease.
void *mmap_in_place(mmap_function *next, const char *call, void *at, size_t n, int prot, int flags, int fd, off_t offset);

#endif
