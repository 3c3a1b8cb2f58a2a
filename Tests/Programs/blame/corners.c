// Refused where a stack is unlike others: in a signal handler on a stack of its own, and on a thread's smallest stack.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int refused_in_handler;

__attribute__((noinline)) static int take_all(void) {
  int error = 0;
  for (int i = 0; i < 200 && !error; i++)
    if (open("/dev/null", O_RDONLY) < 0) error = errno; // line: open
  return error;
}

static void on_signal(int number) {
  (void)number;
  refused_in_handler = take_all();
}

__attribute__((noinline)) static void interrupted(void) {
  raise(SIGUSR1);
  __asm__ volatile("");
}

static void *on_thread(void *unused) {
  (void)unused;
  return (void *)(long)take_all();
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "signal")) {
    stack_t own = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaltstack(&own, NULL);
    sigaction(SIGUSR1, &action, NULL);
    interrupted();
    printf("refused %s\n", strerrorname_np(refused_in_handler));
  } else {
    pthread_attr_t small;
    pthread_t thread;
    void *error;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN);
    if (pthread_create(&thread, &small, on_thread, NULL)) return 1;
    pthread_join(thread, &error);
    printf("refused %s\n", strerrorname_np((int)(long)error));
  }
  return 0;
}
