// Plain calls: static ones, inlined ones, through a pointer, and from a thread with a small stack.
#define _GNU_SOURCE
#include "probe.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HIDE
#define NAMED static __attribute__((noinline))
#else
#define NAMED __attribute__((noinline))
#endif

int sink;

static inline __attribute__((always_inline)) int innermost(int n) {
  int got = probe(); // line: innermost
  return got + n;
}

static inline __attribute__((always_inline)) int middle(int n) {
  return innermost(n * 3) + 1; // line: middle
}

NAMED int hidden(int n) {
  int got = middle(n) * 2; // line: hidden
  sink += got;
  return got;
}

NAMED int outer(int n) {
  int (*volatile through)(int) = hidden;
  char room[200];
  memset(room, n, sizeof room);
  int got = through(n + 1); // line: outer
  sink += got + room[n & 100];
  return sink;
}

NAMED void *in_thread(void *n) {
  outer((int)(long)n); // line: in_thread
  sink++;
  return NULL;
}

NAMED int deep(int n) {
  volatile char room[64];
  room[0] = (char)n;
  int got = n ? deep(n - 1) : outer(n);
  sink += room[0];
  return got + 1;
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "thread")) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 16384);
    pthread_create(&thread, &attributes, in_thread, (void *)1);
    pthread_join(thread, NULL);
  } else if (argc > 1 && !strcmp(argv[1], "deep")) {
    deep(atoi(argv[2]));
  } else if (argc > 1 && !strcmp(argv[1], "unlink")) {
    unlink(argv[0]);
    outer(argc);
  } else {
    outer(argc); // line: main
  }
  return sink == 12345678;
}
