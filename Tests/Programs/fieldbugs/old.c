// Calls functions by the versions that binaries from before glibc 2.34 and 2.15 name.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#if defined(__x86_64__)
#define OLDEST "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define OLDEST "GLIBC_2.17"
#endif
__asm__(".symver pthread_create, pthread_create@" OLDEST "\n.symver posix_spawn, posix_spawn@" OLDEST "\n"
        ".symver pthread_join, pthread_join@" OLDEST "\n");

static void *run(void *unused) { return fopen("/dev/null", "r") ? unused : NULL; }

int main(void) {
  pthread_t thread;
  void *result = NULL;
  int here, error = pthread_create(&thread, NULL, run, &here), status = -1;
  if (!error) pthread_join(thread, &result);
  pid_t child;
  char *const argv[] = {"/bin/true", NULL}, *const none[] = {NULL};
  int spawned = posix_spawn(&child, argv[0], NULL, NULL, argv, none);
  if (!spawned) waitpid(child, &status, 0);
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  int made = timer_create(CLOCK_MONOTONIC, &event, &timer);
  printf("thread %d %d spawn %d %d timer %d\n", error, result == &here, spawned, status, made);
}
