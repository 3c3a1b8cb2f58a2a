// System calls below libc: no errno, no cancellation point, nothing another library may have wrapped.
#ifndef SHIM_RAW_H
#define SHIM_RAW_H

#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
static inline long raw6(long n, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
static inline long raw6(long n, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = n;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#else
#error "no system call convention for this machine yet: add raw6"
#endif

// What the program has forbidden itself (seal.h), by number: such a call is not made, and fails as if the kernel had said EPERM.
extern uint64_t forbidden[8] __attribute__((visibility("hidden")));
static inline int is_forbidden(long n) { return n < 512 && forbidden[n >> 6] >> (n & 63) & 1; }

// The kernel's answer: a value, or −errno.
#define RAW(n, ...) RAW_PICK(__VA_ARGS__, 0, 0, 0, 0, 0, 0)(n, __VA_ARGS__)
#define RAW_PICK(a, b, c, d, e, f, ...) RAW_FILL
#define RAW_FILL(n, ...) RAW_CALL(n, __VA_ARGS__, 0, 0, 0, 0, 0)
#define RAW_CALL(n, a, b, c, d, e, f, ...) \
  (__builtin_expect(is_forbidden(n), 0) ? -1L : raw6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)))

// valgrind's own question to itself (valgrind(1), client requests): instructions that change nothing, and answer 0, elsewhere.
static inline uint64_t under_valgrind(void) {
  uint64_t words[6] = {0x1001}, answer = 0;
#if defined(__x86_64__)
  __asm__ volatile("rolq $3, %%rdi\n rolq $13, %%rdi\n rolq $61, %%rdi\n rolq $51, %%rdi\n xchgq %%rbx, %%rbx"
                   : "+d"(answer) : "a"(words) : "cc", "memory", "rdi");
#elif defined(__aarch64__)
  register uint64_t x3 __asm__("x3") = answer;
  register uint64_t *x4 __asm__("x4") = words;
  __asm__ volatile("ror x12, x12, #3\n ror x12, x12, #13\n ror x12, x12, #51\n ror x12, x12, #61\n orr x10, x10, x10"
                   : "+r"(x3) : "r"(x4) : "cc", "memory", "x12");
  answer = x3;
#endif
  return answer;
}

// Whether the eight bytes around it can be read, asked of a call that reads them and then finds its first argument wrong:
// a bad pointer of the program's is for the kernel to refuse with EFAULT, not for us to fall over.
static inline int readable(const void *p) {
  if (under_valgrind()) return 1; // it would report both that call and the pointer, on stderr
  return RAW(SYS_rt_sigprocmask, -1, (uintptr_t)p & -(uintptr_t)8, 0, 8) != -14;
}

// Copies what the program points to, where it can be read.
static inline int copied(void *to, const void *from, size_t n) {
  // Just above this frame is the stack of whoever called.
  int near = (uintptr_t)from - (uintptr_t)__builtin_frame_address(0) < 2048;
  if (!near && (!readable(from) || !readable((const char *)from + n - 1))) return 0;
  memcpy(to, from, n);
  return 1;
}

#endif
