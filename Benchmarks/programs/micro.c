// One kind of operation, again and again: micro KIND MILLISECONDS [THREADS], or micro KIND xCOUNT for exactly so many
// operations (to count instructions). Prints
//   ns N faults F operations K
// N is the median over batches of about a millisecond, F the minor page faults of an operation, its children's included.
#define _GNU_SOURCE
#include "kinds.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BATCHES = 4096 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static long faults(void) {
  struct rusage self, children;
  getrusage(RUSAGE_SELF, &self);
  getrusage(RUSAGE_CHILDREN, &children);
  return self.ru_minflt + children.ru_minflt;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

struct run {
  const struct kind *kind;
  long size;
  double milliseconds, ns;
  long operations;
  pthread_t thread;
};

static bool takes_long(const struct run *r, long each) {
  double from = now();
  r->kind->repeat(each, r->size);
  return now() - from > 2e5 || each > 1L << 30;
}

// How many make a batch is found out first, and is the warming up as well. What takes long once may have waited for something
// that comes once, like the first question of a process: it has to be so again.
static void *go(void *given) {
  struct run *r = given;
  double *took = malloc(BATCHES * sizeof *took);
  if (!took) return perror("micro: malloc"), exit(1), NULL;
  long each = r->kind->least ? r->kind->least : 1;
  while (!takes_long(r, each) || !takes_long(r, each)) each *= 2;
  int n = 0;
  for (double end = now() + r->milliseconds * 1e6; n < BATCHES && (n < 3 || now() < end); n++) {
    double from = now();
    r->kind->repeat(each, r->size);
    took[n] = (now() - from) / (double)each;
    r->operations += each;
  }
  qsort(took, (size_t)n, sizeof *took, ascending);
  r->ns = took[n / 2];
  free(took);
  return NULL;
}

int main(int count, char **word) {
  if (count < 3) return fprintf(stderr, "micro: give KIND and MILLISECONDS or xCOUNT\n"), 2;
  char *colon = strchr(word[1], ':');
  long size = colon ? atol(colon + 1) : 0;
  if (colon) *colon = 0;
  const struct kind *kind = kind_named(word[1]);
  if (!kind) return fprintf(stderr, "micro: no kind %s\n", word[1]), 2;
  if (kind->prepare) kind->prepare();
  if (word[2][0] == 'x') return kind->repeat(atol(word[2] + 1), size), 0;
  int threads = count > 3 ? atoi(word[3]) : 1;
  if (threads < 1 || threads > 64) return 2;
  struct run run[threads];
  long before = faults();
  for (int i = 0; i < threads; i++) {
    run[i] = (struct run){.kind = kind, .size = size, .milliseconds = atof(word[2])};
    if (i && pthread_create(&run[i].thread, NULL, go, &run[i])) return perror("micro: pthread_create"), 1;
  }
  go(&run[0]);
  double ns = run[0].ns;
  long operations = run[0].operations;
  for (int i = 1; i < threads; i++) {
    pthread_join(run[i].thread, NULL);
    ns += run[i].ns;
    operations += run[i].operations;
  }
  printf("ns %.2f faults %.3f operations %ld\n", ns / threads, (double)(faults() - before) / (double)operations, operations);
  return 0;
}
