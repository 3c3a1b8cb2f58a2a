// malloc where the break cannot grow: glibc then maps a MiB at a time, much more than it was asked for.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void) {
  uintptr_t top = ((uintptr_t)sbrk(0) + 4095) & ~(uintptr_t)4095;
  void *wall = mmap((void *)top, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  int got = 0;
  for (int i = 0; i < 20000; i++) got += malloc(3072) != NULL;
  printf("%d %d\n", wall == (void *)top, got);
  return 0;
}
