// Refused at two calls of one function: without debugging information they are one place.
#include <fcntl.h>
#include <stdio.h>

__attribute__((noinline)) static int take(void) {
  int fd = open("/dev/null", O_RDONLY);
  __asm__ volatile("" : "+r"(fd));
  return fd;
}

int main(void) {
  int refused = 0;
  while (refused < 8) {
    int a = take();
    __asm__ volatile("" : "+r"(a));
    int b = take();
    refused += (a < 0) + (b < 0);
  }
  printf("refused %d\n", refused);
  return 0;
}
