// Makes processes and threads, as often as each line of its input says ("true 100"), and answers with the time that took:
// nanoseconds by the clock, and of processor time of its own and of the children it waited for.
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static char *const words[] = {"true", NULL};
static void *nothing(void *argument) { return argument; }

// Of these the call alone is timed: what the child does meanwhile is another's affair.
static double only;

static double clock_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static double cpu_now(void) {
  struct rusage own, children;
  getrusage(RUSAGE_SELF, &own);
  getrusage(RUSAGE_CHILDREN, &children);
  return (own.ru_utime.tv_sec + own.ru_stime.tv_sec + children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1e9 +
         (own.ru_utime.tv_usec + own.ru_stime.tv_usec + children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1e3;
}

static void started(const char *path) {
  pid_t child;
  if (posix_spawn(&child, path, NULL, NULL, words, environ)) exit(1);
  waitpid(child, NULL, 0);
}

static void once(const char *kind) {
  pid_t child;
  pthread_t thread;
  if (!strcmp(kind, "true")) {
    started("/bin/true");
  } else if (!strcmp(kind, "static")) {
    started("/bin/busybox");
  } else if (!strcmp(kind, "fork")) {
    if (!(child = fork())) _exit(0);
    if (child < 0) exit(1);
    waitpid(child, NULL, 0);
  } else if (!strcmp(kind, "fork+exec")) {
    if (!(child = fork())) execv("/bin/true", words), _exit(127);
    if (child < 0) exit(1);
    waitpid(child, NULL, 0);
  } else if (!strcmp(kind, "vfork+exec")) {
    if (!(child = vfork())) execv("/bin/true", words), _exit(127);
    if (child < 0) exit(1);
    waitpid(child, NULL, 0);
  } else if (!strcmp(kind, "posix_spawn")) {
    double from = clock_now();
    if (posix_spawn(&child, "/bin/true", NULL, NULL, words, environ)) exit(1);
    only += clock_now() - from;
    waitpid(child, NULL, 0);
  } else if (!strcmp(kind, "pthread_create")) {
    if (pthread_create(&thread, NULL, nothing, NULL)) exit(1);
    pthread_join(thread, NULL);
  } else {
    exit(2);
  }
}

int main(void) {
  char kind[32];
  int times;
  while (scanf("%31s %d", kind, &times) == 2) {
    double cpu = cpu_now(), from = clock_now();
    only = 0;
    for (int i = 0; i < times; i++) once(kind);
    double wall = only > 0 ? only : clock_now() - from;
    printf("%.0f %.0f\n", wall / times, (cpu_now() - cpu) / times);
    fflush(stdout);
  }
  return 0;
}
