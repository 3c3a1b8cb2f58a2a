// What runs before any preloaded library is initialised, and after all of them have been: in the program, and with -DLIBRARY in
// a library that it needs or that is preloaded beside the shim.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef LIBRARY
#define WHERE "library"
#else
#define WHERE "program"
#endif

static void obtain(const char *when) {
  errno = 77;
  void *block = malloc(100);
  int kept = errno, fd = open("/dev/null", O_RDONLY), pair[2], made = socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  void *pages = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pid_t child = fork();
  if (child == 0) _exit(open("/dev/null", O_RDONLY) == fd + 3 ? 7 : 8);
  int status = 0;
  waitpid(child, &status, 0);
  char line[200];
  int n = snprintf(line, sizeof line, "%s %s block %d errno %d fd %d pair %d %d pages %d child %d\n", WHERE, when, block != NULL, kept,
                   fd, made ? -1 : pair[0], made ? -1 : pair[1], pages != MAP_FAILED, WEXITSTATUS(status));
  if (write(1, line, n) != n) _exit(9);
  munmap(pages, 65536);
  close(pair[0]), close(pair[1]), close(fd), free(block);
}

__attribute__((constructor)) static void first(void) {
  // As postgres and its libraries: thousands of blocks and mappings before main.
  static void *blocks[3000], *pages[3000];
  for (int i = 0; i < 3000; i++) {
    blocks[i] = malloc(i * 7 % 5000);
    pages[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!blocks[i] || pages[i] == MAP_FAILED) _exit(10);
  }
  for (int i = 0; i < 3000; i++) free(blocks[i]), munmap(pages[i], 4096);
  obtain("constructor");
}
__attribute__((destructor)) static void last(void) { obtain("destructor"); }

#ifndef LIBRARY
static void before_all(void) { obtain("preinit"); }
__attribute__((section(".preinit_array"), used)) static void (*const early)(void) = before_all;
static FILE *left_open;
static void at_exit(void) {
  obtain("atexit");
  fclose(left_open);
}
int main(void) {
  left_open = fopen("/dev/null", "w");
  fputs("in a buffer", left_open);
  atexit(at_exit);
  obtain("main");
  return 5;
}
#endif
