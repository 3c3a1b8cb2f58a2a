// Allocates argv[1] MiB in small blocks of mixed sizes, writes to each, frees every third, and prints a checksum.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  size_t want = (size_t)atoi(argv[argc - 1]) << 20, got = 0, n = 0;
  uint64_t sum = 0;
  for (void **last = NULL; got < want; n++) {
    size_t size = 64 + n * 37 % 960;
    void **p = malloc(size);
    if (!p) {
      printf("refused after %zu MiB\n", got >> 20);
      return 1;
    }
    p[0] = last;
    p[1] = (void *)n;
    sum += (uint64_t)p[1];
    got += size;
    if (n % 3) last = p;
    else free(p);
  }
  printf("blocks %zu sum %llu\n", n, (unsigned long long)sum);
}
