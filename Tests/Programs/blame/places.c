// Refused at two places in turns, as often as it is told; or, told to, holds what one place leaks and another gives back.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) static int first(void) {
  int fd = open("/dev/null", O_RDONLY); // line: first
  __asm__ volatile("" : "+r"(fd));
  return fd;
}

__attribute__((noinline)) static int second(void) {
  int fd = open("/dev/null", O_RDONLY); // line: second
  __asm__ volatile("" : "+r"(fd));
  return fd;
}

int main(int argc, char **argv) {
  if (argc > 2 && !strcmp(argv[1], "refused")) {
    int refused = 0;
    for (int i = 0, n = atoi(argv[2]); refused < n; i++)
      if ((refused % 2 ? second() : first()) < 0) refused++;
    printf("refused %d\n", refused);
    return 0;
  }
  if (argc > 2 && !strcmp(argv[1], "tries")) {
    for (int i = 0, n = atoi(argv[2]); i < n; i++) {
      int a = first(), b = second();
      printf("%c%c", a < 0 ? '-' : '+', b < 0 ? '-' : '+');
      if (a >= 0) close(a);
      if (b >= 0) close(b);
    }
    puts("");
    return 0;
  }
  char line[64];
  for (int i = 0; i < 300; i++) first();
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    for (int i = 0, n = atoi(line); i < n; i++) second();
    for (int i = 0; i < 2000; i++) close(first());
    puts("grown");
    fflush(stdout);
  }
  return 0;
}
