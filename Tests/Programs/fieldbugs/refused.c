// What libc says when it is refused a process, and that nothing else is refused meanwhile. Argument: times to try.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc > 1 && argv[1][0] == 'u') { // io_uring: whatever the kernel says of it
    long fd = syscall(SYS_io_uring_setup, 1, calloc(1, 120));
    if (fd >= 0) close((int)fd);
    usleep(60000);
    return puts("tried") < 0;
  }
  char *const command[] = {"/bin/true", NULL};
  errno = 0;
  FILE *p = popen("true", "r");
  printf("popen %d errno %d\n", p != NULL, errno);
  errno = 0;
  int status = system("true");
  printf("system %d errno %d\n", status, errno);
  pid_t child;
  printf("posix_spawn %d\n", posix_spawn(&child, command[0], NULL, NULL, command, NULL));
  void *block = malloc(50 << 20);
  int fd = open("/dev/null", O_RDONLY);
  printf("malloc %d open %d\n", block != NULL, fd >= 0);
}
