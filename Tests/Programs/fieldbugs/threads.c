// Threads that come and go: destructors of thread data that allocate and open in every round, and 2000 threads that live for a moment.
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_key_t key;
static int rounds, wrong, joined;

static void late(void *round) {
  free(malloc((size_t)1 << 18));
  int fd = open("/dev/null", O_RDONLY);
  if (fd < 0 || close(fd)) __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
  if ((intptr_t)round < PTHREAD_DESTRUCTOR_ITERATIONS) pthread_setspecific(key, (void *)((intptr_t)round + 1));
}

static void *once(void *unused) {
  sigset_t all; // as helper threads of libraries do
  sigfillset(&all), pthread_sigmask(SIG_SETMASK, &all, NULL);
  pthread_setspecific(key, (void *)1);
  void *p = malloc(1000);
  int fd = open("/dev/null", O_RDONLY);
  if (!p || fd < 0 || close(fd)) __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
  free(p);
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, NULL, &now);
  if (!sigismember(&now, SIGTERM)) __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
  return unused;
}

static int count(void) {
  char buffer[4096];
  int fd = open("/proc/self/status", O_RDONLY), threads = 0;
  ssize_t n = read(fd, buffer, sizeof buffer - 1);
  close(fd), buffer[n > 0 ? n : 0] = 0;
  for (char *at = buffer; at && *at; at++)
    if (sscanf(at, "Threads: %d", &threads) == 1) break;
  return threads;
}

int main(void) {
  pthread_key_create(&key, late);
  for (int i = 0; i < 2000; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, once, NULL)) wrong++;
    else if (i % 2) joined += pthread_join(thread, NULL) == 0;
    else pthread_detach(thread);
  }
  for (int i = 0; i < 5000 && count() > 1; i++) usleep(1000);
  struct sigaction action;
  int handlers = 0;
  for (int s = 1; s < 65; s++) handlers += sigaction(s, NULL, &action) == 0 && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
  printf("wrong %d joined %d rounds %d threads %d handlers %d\n", wrong, joined, rounds, count(), handlers);
}
