// From within a handler: the stack goes on, through the return trampoline, to what the signal interrupted.
#define _GNU_SOURCE
#include "probe.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

volatile int sink;
volatile int *volatile nowhere;

__attribute__((noinline)) static void handler(int n) {
  probe();
  sink += n;
}

__attribute__((noinline)) int interrupted(int n) {
  char room[300];
  memset(room, n, sizeof room);
  sink += room[7];
  *nowhere = n; // line: interrupted
  return sink;
}

__attribute__((noinline)) static void leave(int n) {
  (void)n;
  probe();
  _exit(0);
}

__attribute__((noinline)) int asks(int n) {
  raise(SIGUSR1);
  return sink += n;
}

int main(int argc, char **argv) {
  struct sigaction a = {.sa_handler = handler};
  if (argc > 1 && !strcmp(argv[1], "alternate")) {
    stack_t s = {.ss_size = 16384};
    s.ss_sp = mmap(0, s.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaltstack(&s, 0);
    a.sa_flags = SA_ONSTACK;
  }
  sigaction(SIGUSR1, &a, 0);
  a.sa_handler = leave;
  sigaction(SIGSEGV, &a, 0);
  if (argc > 1 && strcmp(argv[1], "segv")) asks(argc);
  else interrupted(argc & ~1);
  return 0;
}
