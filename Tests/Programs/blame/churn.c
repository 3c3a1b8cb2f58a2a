// A server that is always at work on files, and leaks one in eleven of them: what is at work takes it to each new height, and
// what leaks follows unseen. Told a number, it leaks so many; the half of them with a connection open.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PLACE(name)                                       \
  __attribute__((noinline)) static int name(void) {       \
    int fd = open("/dev/null", O_RDONLY);                 \
    __asm__ volatile("" : "+r"(fd));                      \
    return fd;                                            \
  }
PLACE(works)
PLACE(connects)
PLACE(leaks)

int main(void) {
  char line[16];
  struct rlimit files = {20000, 20000};
  setrlimit(RLIMIT_NOFILE, &files);
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    for (int i = 0, n = atoi(line); i < n; i++) {
      int connection = i % 2 ? connects() : -1;
      for (int k = 0; k < 10; k++) close(works());
      leaks();
      if (connection >= 0) close(connection);
      nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    puts("grown");
    fflush(stdout);
  }
  return 0;
}
