// A program that no preloaded library can enter: static, no libc, system calls made by hand. It maps private writable
// memory, a MiB at a time, until the kernel refuses, and prints how many it got.
static long call(long n, long a, long b, long c, long d, long e, long f) {
  long r;
#if defined(__x86_64__)
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
                x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  r = x0;
#endif
  return r;
}
#if defined(__x86_64__)
enum { WRITE = 1, MMAP = 9, EXIT = 231 };
#else
enum { WRITE = 64, MMAP = 222, EXIT = 94 };
#endif

void _start(void) {
  int got = 0;
  long r;
  while (got < 4096 && (r = call(MMAP, 0, 1 << 20, 3 /* READ|WRITE */, 0x22 /* PRIVATE|ANONYMOUS */, -1, 0)) > 0) got++;
  char text[8], *p = text + sizeof text;
  *--p = '\n';
  do *--p = '0' + got % 10; while (got /= 10);
  call(WRITE, 1, (long)p, text + sizeof text - p, 0, 0, 0);
  call(EXIT, r == -12 ? 0 : 1, 0, 0, 0, 0, 0);
}
