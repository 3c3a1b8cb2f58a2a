// What a program of Go does that is linked with libc: its own system calls, libc's beside them, and a note that says so.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef NOTE
static const struct {
  unsigned name_size, size, type;
  char name[4], id[8];
} note __attribute__((section(".note.go.buildid"), used, aligned(4))) = {4, 8, 4, "Go\0", "1/2/3/4"};
#endif

static long call(long n, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  long r;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return r;
}

int main(int count, char **words) {
  int files = atoi(words[1]), mebibytes = atoi(words[2]), got = 0;
  for (int i = 0; i < files; i++) call(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDONLY, 0, 0, 0);
  // A heap that grows, as a heap does, little by little.
  for (; got < mebibytes; got++) {
    long at = call(SYS_mmap, 0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at > -4096) break;
    usleep(3000);
  }
  printf("mapped %d\n", got);
  // … and one that is committed over a reservation, as Go commits its arenas.
  if (count > 3) {
    long size = 1l << 30, at = call(SYS_mmap, 0, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long got_it = call(SYS_mmap, at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("committed %d\nmore %ld\n", got_it == at, call(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  }
  fflush(stdout);
  usleep(300000);
  return 0;
}
