// What being refused costs as a beancounter grows: many MEMBERS MILLISECONDS, with room for MEMBERS + 1 files. Each member
// opens one file and sleeps; then this process, which has the last, asks for one more, which is refused: first while nothing is
// uncertain, so that a recall settles it, then having closed a range of numbers each time, so that it takes a recount. Prints
//   ready MS refused US unsure US
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int file;

static double refusals(double microseconds, int unsure) {
  double from = now();
  long n = 0;
  do {
    if (unsure) close_range(1000, 1000, 0); // where nothing is; but it may have been what the shim knows nothing of
    if (open("/dev/null", O_RDONLY) >= 0 || errno != ENFILE) fprintf(stderr, "many: not refused: %m\n"), exit(1);
    n++;
  } while (now() < from + microseconds);
  return (now() - from) / (double)n;
}

int main(int count, char **word) {
  if (count != 3) return fprintf(stderr, "many: give MEMBERS and MILLISECONDS\n"), 2;
  int members = atoi(word[1]);
  double microseconds = atof(word[2]) * 1e3, from = now();
  _Atomic int *ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t *child = malloc(sizeof *child * (size_t)members), parent = getpid();
  if (ready == MAP_FAILED || !child) return perror("many"), 1;
  for (int i = 0; i < members; i++) {
    child[i] = fork();
    if (child[i] < 0) return perror("many: fork"), 1;
    if (child[i]) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (open("/dev/null", O_RDONLY) < 0) perror("many: open"), _exit(1);
    ++*ready;
    while (getppid() == parent) pause();
    _exit(0);
  }
  while (*ready < members) usleep(1000);
  double started = now();
  file = open("/dev/null", O_RDONLY);
  if (file < 0) return perror("many: its own file"), 1;
  refusals(0, 1);
  double refused = refusals(microseconds, 0), unsure = refusals(microseconds, 1);
  printf("ready %.1f refused %.2f unsure %.2f\n", (started - from) / 1e3, refused, unsure);
  fflush(stdout);
  usleep(300000); // for whoever looks at how much memory the server has
  for (int i = 0; i < members; i++) kill(child[i], SIGKILL);
  for (int i = 0; i < members; i++) waitpid(child[i], NULL, 0);
  return 0;
}
