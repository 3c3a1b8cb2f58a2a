// Every entry point of the allocator, with what C and POSIX say of their results and of errno; then threads that allocate and free.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile size_t huge = SIZE_MAX / 2, nothing = 0;
static size_t kept[16];

static void shown(const char *what, void *p, size_t alignment) {
  // After a block errno says nothing (POSIX, errno): docs/limits.md has what it may be here.
  printf("%s %s errno %d aligned %d\n", what, p ? "block" : "null", p ? 0 : errno, (uintptr_t)p % alignment == 0);
  free(p);
  errno = 55;
}

static void *work(void *seed) {
  unsigned n = (unsigned)(uintptr_t)seed;
  void *blocks[64] = {0};
  for (int i = 0; i < 20000; i++) {
    n = n * 1103515245 + 12345;
    void **at = &blocks[n >> 8 & 63];
    if (n & 1) *at = realloc(*at, n >> 16 & 0x3fff);
    else free(*at), *at = n & 2 ? malloc(n >> 18) : memalign(64, n >> 20);
  }
  for (int i = 0; i < 64; i++) free(blocks[i]);
  return NULL;
}

int main(void) {
  void *p = NULL;
  errno = 55;
  shown("malloc", malloc(10), 16);
  shown("malloc 0", malloc(nothing), 1);
  shown("malloc huge", malloc(huge), 1);
  shown("malloc over", malloc(huge * 2), 1);
  shown("calloc", calloc(3, 5), 16);
  shown("calloc over", calloc(huge, 4), 1);
  shown("realloc null", realloc(NULL, 30), 16);
  shown("realloc more", realloc(malloc(10), 100000), 16);
  p = malloc(10);
  void *q = realloc(p, huge);
  printf("realloc huge %s errno %d, the old one still %zu\n", q ? "block" : "null", errno, malloc_usable_size(p) >= 10 ? (size_t)10 : 0);
  free(p), errno = 55;
  p = realloc(malloc(10), nothing);
  printf("realloc 0 errno %d\n", errno);
  free(p), errno = 55;
  shown("reallocarray", reallocarray(NULL, 3, 5), 16);
  shown("reallocarray over", reallocarray(NULL, huge, 4), 1);
  shown("memalign", memalign(4096, 10), 4096);
  shown("aligned_alloc", aligned_alloc(64, 128), 64);
  shown("valloc", valloc(10), 4096);
  printf("pvalloc %d\n", pvalloc(10) != NULL); // never freed: jemalloc has none, and would be handed that of glibc
  int error = posix_memalign(&p, 32, 10);
  printf("posix_memalign %d errno %d\n", error, errno);
  free(p);
  printf("posix_memalign bad %d errno %d\n", posix_memalign(&p, 3, 10), errno);
  printf("posix_memalign huge %d\n", posix_memalign(&p, 64, huge));
  p = malloc(1 << 20);
  errno = 55, free(NULL), free(p);
  printf("free keeps errno %d\n", errno);
  for (int i = 0; i < 16; i++) kept[i] = malloc_usable_size(p = malloc((size_t)1 << i)) >= (size_t)1 << i, free(p);
  for (int i = 0; i < 16; i++) printf("%zu", kept[i]);
  // A mapping that cannot be made, with everything else as it was.
  errno = 55;
  p = mmap(NULL, (size_t)1 << 50, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("\nmmap %d errno %d\n", p == MAP_FAILED, errno);
  pthread_t threads[8];
  for (uintptr_t i = 0; i < 8; i++) pthread_create(&threads[i], NULL, work, (void *)(i + 1));
  for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
  puts("threads done");
}
