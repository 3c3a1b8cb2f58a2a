// Memory: the real function, then one test for failure (lease.h).
#define _GNU_SOURCE
#include "credit.h"
#include "fixed.h"
#include "lease.h"
#include "next.h"
#include "owned.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, TOP_PAD = 256 << 10 }; // glibc asks for M_TOP_PAD (128 KiB) more than it needs

static int64_t bytes_of(size_t a, size_t b) {
  size_t n;
  return __builtin_mul_overflow(a, b, &n) || n > PTRDIFF_MAX - TOP_PAD ? PTRDIFF_MAX / 2 : (int64_t)n;
}

// How much the allocator will ask the kernel for is its own affair: at least a page, and the server gives what it has.
#define RETRIED(call_, bytes, expression)                                                                 \
  ({                                                                                                     \
    struct lease_try try_ = {.call = call_, .least = PAGE, .want = (bytes) + TOP_PAD, .numbers = {{bytes}}}; \
    void *got_ = NULL;                                                                                   \
    while (!got_ && lease_grow(&try_)) got_ = (expression);                                              \
    got_;                                                                                                \
  })

#define RETRIED_ALLOCATOR(name, params, args, bytes)                                                     \
  SAME_PROTOTYPE(name, void *, params);                                                                  \
  __attribute__((visibility("default"))) void *bc_##name params __asm__(#name);                          \
  __attribute__((noinline, cold, used)) static void *name##_retried params {                             \
    void *got = RETRIED(#name, bytes, NEXT(name) args);                                                  \
    if (got) errno = 0; /* what it was before would cost every call its reading: see docs/limits.md */   \
    return got;                                                                                          \
  }                                                                                                      \
  static void *name##_first params;                                                                      \
  __attribute__((used)) static __typeof__(bc_##name) *name##_next = name##_first; /* no test for null on the fastest path */ \
  static void *name##_first params {                                                                     \
    __atomic_store_n(&name##_next, (__typeof__(&bc_##name))next_find(#name), __ATOMIC_RELAXED);          \
    return name##_next args;                                                                             \
  }

#define ALLOCATOR(name, params, args, bytes)                                                             \
  RETRIED_ALLOCATOR(name, params, args, bytes)                                                           \
  EXPORT(void *, name, params) {                                                                         \
    void *got = name##_next args;                                                                        \
    return likely(got != NULL) ? got : name##_retried args;                                              \
  }

// A null that is no failure (size 0, overflow, bad alignment) has not set ENOMEM, or asks for what no lease can give.
#if defined(__x86_64__)
// One push keeps n and aligns the stack, which compilers use two instructions more for.
RETRIED_ALLOCATOR(malloc, (size_t n), (n), bytes_of(n, 1))
__asm__(".globl malloc\n.type malloc,@function\nmalloc:\n.cfi_startproc\n"
        "push %rdi\n.cfi_adjust_cfa_offset 8\ncall *malloc_next(%rip)\ntest %rax,%rax\njz 1f\n"
        "pop %rdi\n.cfi_adjust_cfa_offset -8\nret\n"
        "1: .cfi_adjust_cfa_offset 8\npop %rdi\n.cfi_adjust_cfa_offset -8\njmp malloc_retried\n"
        ".cfi_endproc\n.size malloc,.-malloc\n");
#else
ALLOCATOR(malloc, (size_t n), (n), bytes_of(n, 1))
#endif
ALLOCATOR(calloc, (size_t n, size_t size), (n, size), bytes_of(n, size))
ALLOCATOR(memalign, (size_t alignment, size_t n), (alignment, n), bytes_of(n, 1) + (int64_t)alignment)
ALLOCATOR(valloc, (size_t n), (n), bytes_of(n, 1) + PAGE)
ALLOCATOR(pvalloc, (size_t n), (n), bytes_of(n, 1) + 2 * PAGE)

SAME_PROTOTYPE(aligned_alloc, void *, (size_t, size_t));
EXPORT(void *, aligned_alloc, (size_t alignment, size_t n)) {
  int before = errno;
  void *got = NEXT(aligned_alloc)(alignment, n);
  if (likely(got != NULL) || errno != ENOMEM) return got;
  got = RETRIED("aligned_alloc", bytes_of(n, 1) + (int64_t)alignment, NEXT(aligned_alloc)(alignment, n));
  if (got) errno = before;
  return got;
}

// realloc(p, 0) frees and answers null: that must not be tried again.
SAME_PROTOTYPE(realloc, void *, (void *, size_t));
EXPORT(void *, realloc, (void *old, size_t n)) {
  int before = errno;
  void *got = NEXT(realloc)(old, n);
  if (likely(got != NULL) || (n == 0 && old)) return got;
  got = RETRIED("realloc", bytes_of(n, 1), NEXT(realloc)(old, n));
  if (got) errno = before;
  return got;
}

SAME_PROTOTYPE(reallocarray, void *, (void *, size_t, size_t));
EXPORT(void *, reallocarray, (void *old, size_t n, size_t size)) {
  int before = errno;
  void *got = NEXT(reallocarray)(old, n, size);
  if (likely(got != NULL) || ((n == 0 || size == 0) && old)) return got;
  got = RETRIED("reallocarray", bytes_of(n, size), NEXT(reallocarray)(old, n, size));
  if (got) errno = before;
  return got;
}

SAME_PROTOTYPE(posix_memalign, int, (void **, size_t, size_t));
EXPORT(int, posix_memalign, (void **out, size_t alignment, size_t n)) {
  int before = errno, error = NEXT(posix_memalign)(out, alignment, n);
  struct lease_try t = {.call = "posix_memalign", .least = PAGE, .want = bytes_of(n, 1) + (int64_t)alignment + TOP_PAD, .numbers = {{(int64_t)n}}};
  while (unlikely(error == ENOMEM) && lease_grow(&t)) error = NEXT(posix_memalign)(out, alignment, n);
  if (error == 0) errno = before;
  return error;
}

static int64_t whole_pages(size_t n) { return n > PTRDIFF_MAX - PAGE ? PTRDIFF_MAX / 2 : (int64_t)((n + PAGE - 1) & -(size_t)PAGE); }

// These ask the kernel for exactly what they say: one grant of exactly that, and a second try if another thread took it.
#define RETRY_EXACTLY(call_, before, bytes_, flags_, failed, expression, ...)                            \
  do {                                                                                                   \
    struct lease_try try_ = {.call = call_, .least = bytes_, .want = bytes_, .flags = flags_, \
                             .numbers = {{__VA_ARGS__}}};                                             \
    errno = ENOMEM;                                                                                      \
    while ((failed) && errno == ENOMEM) {                                                                \
      if (!lease_grow(&try_)) {                                                                          \
        errno = ENOMEM;                                                                                  \
        break;                                                                                           \
      }                                                                                                  \
      expression;                                                                                        \
    }                                                                                                    \
    if (!(failed)) errno = before;                                                                       \
  } while (0)

static bool counted(int prot, int flags) { return (prot & PROT_WRITE) && (flags & MAP_TYPE) == MAP_PRIVATE; }

// Shared and of no file: memory that all processes of the family have in common, whole from the start (shmem_zero_setup).
static bool is_shared(int flags) { return flags & MAP_SHARED && flags & MAP_ANONYMOUS && !(flags & MAP_HUGETLB); }

// Charged to shmpages, to lockedpages, or to both; unmapping is not seen, so both rows wait for a recount.
__attribute__((noinline)) static void *mmap_charged(mmap_function *next, const char *call, void *at, size_t n, int prot, int flags,
                                                    int fd, off_t offset) {
  int64_t pages = whole_pages(n) / PAGE, shared = is_shared(flags) ? pages : 0, locked = flags & MAP_LOCKED ? pages : 0;
  struct charge s = {0}, l = {0};
  if (shared) s = charge_begin_with(BC_SHMPAGES, shared, ENOMEM, call, (int64_t)at, (int64_t)n);
  if (!s.error && locked) l = charge_begin_with(BC_LOCKEDPAGES, locked, ENOMEM, call, (int64_t)at, (int64_t)n);
  void *got = MAP_FAILED;
  if (!s.error && !l.error) got = next(at, n, prot, flags, fd, offset);
  else errno = s.error ? s.error : l.error;
  bool made = got != MAP_FAILED;
  if (made && s.page) uncertain(s.page, BC_SHMPAGES);
  if (made && l.page) uncertain(l.page, BC_LOCKEDPAGES);
  charge_end(s, BC_SHMPAGES, made ? 0 : shared);
  charge_end(l, BC_LOCKEDPAGES, made ? 0 : locked);
  return got;
}

// A length of 0, and one that is no length, are for the kernel to refuse.
static bool charged(size_t n, int flags) { return (is_shared(flags) || flags & MAP_LOCKED) && n > 0 && n < PTRDIFF_MAX; }

#define MMAP(name)                                                                                       \
  SAME_PROTOTYPE(name, void *, (void *, size_t, int, int, int, off_t));                                  \
  static void *name##_leased(void *at, size_t n, int prot, int flags, int fd, off_t offset);             \
  EXPORT(void *, name, (void *at, size_t n, int prot, int flags, int fd, off_t offset)) {                \
    if (unlikely(charged(n, flags))) return mmap_charged(name##_leased, #name, at, n, prot, flags, fd, offset); \
    return name##_leased(at, n, prot, flags, fd, offset);                                                \
  }                                                                                                      \
  static void *name##_leased(void *at, size_t n, int prot, int flags, int fd, off_t offset) {            \
    if (unlikely(replaces(n, flags)) && counted(prot, flags))                                            \
      return mmap_in_place(NEXT(name), #name, at, n, prot, flags, fd, offset);                           \
    int before = errno;                                                                                  \
    void *got = NEXT(name)(at, n, prot, flags, fd, offset);                                              \
    if (likely(got != MAP_FAILED) || errno != ENOMEM || !counted(prot, flags)) return got;               \
    RETRY_EXACTLY(#name, before, whole_pages(n), (flags & MAP_NORESERVE) ? BC_FLAG_NORESERVE : 0u, got == MAP_FAILED, \
                  got = NEXT(name)(at, n, prot, flags, fd, offset), (int64_t)at, (int64_t)n);            \
    return got;                                                                                          \
  }
MMAP(mmap)
MMAP(mmap64)

SAME_PROTOTYPE(mremap, void *, (void *, size_t, size_t, int, ...));
EXPORT(void *, mremap, (void *old, size_t size, size_t n, int flags, void *at)) {
  int before = errno;
  void *got = NEXT(mremap)(old, size, n, flags, at);
  if (likely(got != MAP_FAILED) || errno != ENOMEM || n <= size) return got;
  RETRY_EXACTLY("mremap", before, whole_pages(n) - whole_pages(size), 0u, got == MAP_FAILED, 
                got = NEXT(mremap)(old, size, n, flags, at), (int64_t)old, (int64_t)size, (int64_t)n);
  return got;
}

static raw_call *libc_syscall;
static void *mmap_by_syscall(void *at, size_t n, int prot, int flags, int fd, off_t offset) {
  return (void *)libc_syscall(SYS_mmap, (long)at, (long)n, prot, flags, fd, offset);
}

long lease_syscall(raw_call *next, long number, long a, long b, long c, long d, long e, long f) {
  int before = errno;
  bool maps = number == SYS_mmap;
  if (maps && unlikely(replaces((size_t)b, (int)d)) && counted((int)c, (int)d)) {
    libc_syscall = next;
    return (long)mmap_in_place(mmap_by_syscall, "mmap", (void *)a, (size_t)b, (int)c, (int)d, (int)e, f);
  }
  long got = next(number, a, b, c, d, e, f);
  if (likely(got != -1) || errno != ENOMEM || (maps ? !counted((int)c, (int)d) : c <= b)) return got;
  int64_t bytes = maps ? whole_pages((size_t)b) : whole_pages((size_t)c) - whole_pages((size_t)b);
  unsigned flags = maps && d & MAP_NORESERVE ? BC_FLAG_NORESERVE : 0u;
  RETRY_EXACTLY(maps ? "mmap" : "mremap", before, bytes, flags, got == -1, got = next(number, a, b, c, d, e, f), a, b, c);
  return got;
}

// Some of the range may be writable already: at least a page is not. SOFT, as in 2.6.18 mm/mprotect.c.
#define MPROTECT(name, params, args)                                                                     \
  EXPORT(int, name, params) {                                                                            \
    int before = errno, error = NEXT(name) args;                                                         \
    if (likely(error == 0) || errno != ENOMEM || !(prot & PROT_WRITE)) return error;                     \
    struct lease_try t = {.call = #name, .least = PAGE, .want = whole_pages(n), .severity = BC_SOFT,     \
                          .numbers = {{(int64_t)at, (int64_t)n}}};                                       \
    while (error && errno == ENOMEM && lease_grow(&t)) error = NEXT(name) args;                          \
    if (error == 0) errno = before;                                                                      \
    return error;                                                                                        \
  }
SAME_PROTOTYPE(mprotect, int, (void *, size_t, int));
MPROTECT(mprotect, (void *at, size_t n, int prot), (at, n, prot))
SAME_PROTOTYPE(pkey_mprotect, int, (void *, size_t, int, int));
MPROTECT(pkey_mprotect, (void *at, size_t n, int prot, int key), (at, n, prot, key))

// Below what is in use RLIMIT_DATA refuses to lower the break too (mm/mmap.c brk), and libc takes that for done.
__attribute__((noinline, cold)) static void lower_break(const char *call, char *to) {
  __typeof__(sbrk) *move = (__typeof__(sbrk) *)next_find("sbrk");
  int before = errno;
  char *now = move(0);
  if (now <= to) return;
  struct lease_try t = {.call = call, .least = now - to}, done = {.call = call, .want = PAGE};
  while ((char *)move(0) == now && lease_grow(&t)) move(to - now); // the server may have been quicker to forbid it again
  lease_grow(&done); // … and does now
  errno = before;
}

#define SBRK(name)                                                                                       \
  EXPORT(void *, name, (intptr_t delta)) {                                                               \
    int before = errno;                                                                                  \
    void *got = NEXT(name)(delta);                                                                       \
    if (delta < 0 && got != (void *)-1) lower_break(#name, (char *)got + delta);                          \
    if (likely(got != (void *)-1) || errno != ENOMEM || delta <= 0) return got;                          \
    RETRY_EXACTLY(#name, before, whole_pages((size_t)delta), 0u, got == (void *)-1, got = NEXT(name)(delta), delta); \
    return got;                                                                                          \
  }
SBRK(sbrk)
SBRK(__sbrk)

EXPORT(int, brk, (void *to)) {
  int before = errno, error = NEXT(brk)(to);
  if (likely(error == 0)) return lower_break("brk", to), 0;
  if (errno != ENOMEM) return error;
  char *now = NEXT(sbrk)(0);
  if ((char *)to <= now) return error;
  RETRY_EXACTLY("brk", before, whole_pages((size_t)((char *)to - now)), 0u, error != 0, error = NEXT(brk)(to), (int64_t)to);
  return error;
}

// dlopen and dlmopen look at their return address (RUNPATH, namespace): room is made, then they are jumped to.
#if defined(__x86_64__)
__attribute__((used)) static void *dlopen_ahead(void) {
  lease_ahead(64 << 20, "dlopen");
  static void *next;
  return next ? next : (next = next_find("dlopen"));
}
__attribute__((used)) static void *dlmopen_ahead(void) {
  lease_ahead(64 << 20, "dlmopen");
  static void *next;
  return next ? next : (next = next_find("dlmopen"));
}
#define JUMP_AFTER(name)                                                                                 \
  __asm__(".globl " #name "\n.type " #name ",@function\n" #name ":\n"                                    \
          "push %rdi\npush %rsi\npush %rdx\ncall " #name "_ahead\npop %rdx\npop %rsi\npop %rdi\njmp *%rax\n" \
          ".size " #name ",.-" #name "\n")
JUMP_AFTER(dlopen);
JUMP_AFTER(dlmopen);
#endif
