// How long a refusal takes: refused KEEP SECONDS sure|unsure. Opens KEEP files, which is as many as its bound allows, says
// "ready", and then opens one more again and again until the time is up; `unsure` closes one of two descriptors of one file
// before each, so that only a recount knows that nothing is free. Prints
//   refusals N median_us A p99_us B most_us C
// Exit 1 when one of them was not refused.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int order(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : 1; }

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "refused: give KEEP SECONDS sure|unsure\n"), 2;
  int keep = atoi(argv[1]), unsure = argv[3][0] == 'u', last = -1;
  struct rlimit most;
  if (getrlimit(RLIMIT_NOFILE, &most) == 0) most.rlim_cur = most.rlim_max, setrlimit(RLIMIT_NOFILE, &most);
  for (int i = 0; i < keep; i++)
    if ((last = open("/dev/null", O_RDONLY)) < 0) return perror("refused: a file for keeps"), 1;
  printf("ready\n");
  fflush(stdout);
  static double took[1 << 20];
  size_t n = 0;
  for (double end = now() + atof(argv[2]); now() < end && n < sizeof took / sizeof *took;) {
    if (unsure) close(dup(last));
    double start = now();
    int fd = open("/dev/null", O_RDONLY);
    took[n++] = now() - start;
    if (fd >= 0 || errno != ENFILE) return fprintf(stderr, "refused: it was not: %s\n", strerror(errno)), 1;
  }
  qsort(took, n, sizeof *took, order);
  printf("refusals %zu median_us %.1f p99_us %.1f most_us %.1f\n", n, 1e6 * took[n / 2], 1e6 * took[n * 99 / 100], 1e6 * took[n - 1]);
  return 0;
}
