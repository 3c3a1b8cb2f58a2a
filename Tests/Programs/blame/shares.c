// Obtains files at three places in a fixed rhythm of 13, and keeps them all: 1, 4 and 8 of each round. What hands credit out in
// rounds of its own must not fall in step with it.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define PLACE(name)                                                 \
  __attribute__((noinline)) static void name(void) {                \
    if (open("/dev/null", O_RDONLY) < 0) exit(3);                   \
    __asm__ volatile("");                                           \
  }
PLACE(one)
PLACE(four)
PLACE(eight)

int main(int argc, char **argv) {
  char line[8];
  struct rlimit files = {20000, 20000};
  setrlimit(RLIMIT_NOFILE, &files);
  for (int i = 0, rounds = argc > 1 ? atoi(argv[1]) : 1; i < rounds; i++) {
    one();
    for (int n = 0; n < 4; n++) four();
    for (int n = 0; n < 8; n++) eight();
  }
  puts("ready");
  fflush(stdout);
  return !fgets(line, sizeof line, stdin) && argc > 2;
}
