// What the process has already, malloc hands out without a word to anybody. So where failures were asked for, each call that
// obtains memory asks first whether it is to be one of them. These functions are found in place of libc's (next_find): where
// nothing was asked for, no instruction is different.
#define _GNU_SOURCE
#include "inject.h"

#include "ask.h"
#include "member.h"
#include "next.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Thread_local bool refused, again;

static bool fails(const char *call, size_t a, size_t b, size_t c, size_t bytes) {
  if (again) return again = false;
  if (!member_page()) return false;
  int64_t amount = bytes > PTRDIFF_MAX ? PTRDIFF_MAX : bytes ? (int64_t)bytes : 1;
  struct bc_request request = {
      .kind = BC_MEMORY, .resource = BC_PRIVVMPAGES, .amount = amount, .want = amount, .flags = BC_FLAG_INTENT};
  struct bc_answer answer;
  ask_about(&request, (struct about){.call = call, .numbers = {{(int64_t)a, (int64_t)b, (int64_t)c}}});
  return refused = ask(&request, &answer, NULL) == ASK_ANSWERED && answer.error;
}

// NAME_asking: fails on request, else is NAME.
#define ASKING(ret, name, params, args, failure, a, b, c, bytes)                           \
  __attribute__((visibility("default"))) ret bc_##name params __asm__(#name);              \
  static ret name##_asking params {                                                        \
    static __typeof__(bc_##name) *next;                                                    \
    if (!next) next = (__typeof__(next))next_real(#name);                                  \
    if (fails(#name, (size_t)(a), (size_t)(b), (size_t)(c), bytes)) return failure;        \
    return next args;                                                                      \
  }
#define NO_MEMORY(value) (errno = ENOMEM, value)

ASKING(void *, malloc, (size_t n), (n), NO_MEMORY(NULL), n, 0, 0, n)
ASKING(void *, calloc, (size_t n, size_t size), (n, size), NO_MEMORY(NULL), n * size, 0, 0, n * size)
ASKING(void *, realloc, (void *old, size_t n), (old, n), NO_MEMORY(NULL), n, 0, 0, n)
ASKING(void *, memalign, (size_t alignment, size_t n), (alignment, n), NO_MEMORY(NULL), n, 0, 0, n)
ASKING(void *, aligned_alloc, (size_t alignment, size_t n), (alignment, n), NO_MEMORY(NULL), n, 0, 0, n)
ASKING(void *, valloc, (size_t n), (n), NO_MEMORY(NULL), n, 0, 0, n)
ASKING(void *, pvalloc, (size_t n), (n), NO_MEMORY(NULL), n, 0, 0, n)
ASKING(int, posix_memalign, (void **out, size_t alignment, size_t n), (out, alignment, n), ENOMEM, n, 0, 0, n)

// glibc's is realloc by way of the wrapper, which must not ask a second time.
__attribute__((visibility("default"))) void *bc_reallocarray(void *, size_t, size_t) __asm__("reallocarray");
static void *reallocarray_asking(void *old, size_t n, size_t size) {
  static __typeof__(bc_reallocarray) *next;
  if (!next) next = (__typeof__(next))next_real("reallocarray");
  if (fails("reallocarray", n * size, 0, 0, n * size)) return NO_MEMORY(NULL);
  again = true;
  void *got = next(old, n, size);
  again = false;
  return got;
}

// Of the mappings, those that count.
#define ASKING_MMAP(name)                                                                                               \
  __attribute__((visibility("default"))) void *bc_##name(void *, size_t, int, int, int, off_t) __asm__(#name);         \
  static void *name##_asking(void *at, size_t n, int prot, int flags, int fd, off_t offset) {                          \
    static __typeof__(bc_##name) *next;                                                                                \
    if (!next) next = (__typeof__(next))next_real(#name);                                                              \
    bool counts = prot & PROT_WRITE && (flags & MAP_TYPE) == MAP_PRIVATE;                                              \
    if (counts && fails(#name, (size_t)at, n, 0, n)) return NO_MEMORY(MAP_FAILED);                                     \
    return next(at, n, prot, flags, fd, offset);                                                                       \
  }
ASKING_MMAP(mmap)
ASKING_MMAP(mmap64)
__attribute__((visibility("default"))) void *bc_mremap(void *, size_t, size_t, int, void *) __asm__("mremap");
static void *mremap_asking(void *old, size_t size, size_t n, int flags, void *at) {
  static __typeof__(bc_mremap) *next;
  if (!next) next = (__typeof__(next))next_real("mremap");
  if (n > size && fails("mremap", (size_t)old, size, n, n - size)) return NO_MEMORY(MAP_FAILED);
  return next(old, size, n, flags, at);
}

static const struct {
  const char *name;
  void *asking;
} table[] = {
#define ROW(name) {#name, (void *)name##_asking}
    ROW(malloc), ROW(calloc),         ROW(realloc), ROW(reallocarray), ROW(memalign), ROW(aligned_alloc), ROW(valloc),
    ROW(pvalloc), ROW(posix_memalign), ROW(mmap),    ROW(mmap64),       ROW(mremap),
};

void *inject_find(const char *name) {
  if (!member_injects()) return NULL;
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (!strcmp(table[i].name, name)) return table[i].asking;
  return NULL;
}

bool inject_refused(void) {
  bool was = refused;
  refused = false;
  return was;
}

void inject_again(const char *call) { again = inject_find(call) != NULL; }
