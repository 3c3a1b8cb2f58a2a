// Opens files by system calls of its own, inline, that no library can see: argv[1] of them, after argv[2] by libc. Then it stays.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static long open_inline(const char *path) {
  long result;
#if defined(__x86_64__)
  __asm__ volatile("syscall" : "=a"(result) : "a"(2L), "D"(path), "S"(O_RDONLY), "d"(0) : "rcx", "r11", "memory");
#else
  register long x8 __asm__("x8") = 56, x0 __asm__("x0") = AT_FDCWD, x2 __asm__("x2") = O_RDONLY, x3 __asm__("x3") = 0;
  register const char *x1 __asm__("x1") = path;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  result = x0;
#endif
  return result;
}

int main(int argc, char **argv) {
  int own = argc > 1 ? atoi(argv[1]) : 0, seen = argc > 2 ? atoi(argv[2]) : 0, n = 0, refused = 0;
  for (int i = 0; i < seen; i++) refused += open("/dev/null", O_RDONLY) < 0;
  for (int i = 0; i < own; i++) n += open_inline("/dev/null") >= 0;
  usleep(1000000);
  refused += open("/dev/null", O_RDONLY) < 0;
  printf("inline %d\nrefused %d\n", n, refused);
  return 0;
}
