// A plug-in: with -DOWN one that brings its own malloc, as those linked with a static allocator do.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef OWN
static char heap[1 << 20];
static size_t used;
__attribute__((visibility("default"))) void *malloc(size_t n) {
  void *p = heap + used;
  used += (n + 15) & -(size_t)16;
  return used <= sizeof heap ? p : NULL;
}
__attribute__((visibility("default"))) void free(void *p) { if (p && ((char *)p < heap || (char *)p >= heap + sizeof heap)) _exit(97); }
#endif
int run(void) {
  void *p = malloc(5000);
  memset(p, 1, 5000);
  int fd = open("/dev/null", O_RDONLY), ok = p != NULL && fd >= 0;
  void *m = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ok += m != MAP_FAILED, munmap(m, 8 << 20), close(fd), free(p);
#ifndef OWN
  FILE *f = fopen("/dev/null", "w");
  ok += f && fprintf(f, "x") == 1 && fclose(f) == 0;
#endif
  return ok;
}
