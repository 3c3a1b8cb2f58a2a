// Runs a command and writes what it took: timed FILE COMMAND [ARG…]. The file gets
//   seconds S cpu S faults N
// wall time, processor time and minor faults of the command and all that it waited for. Exits as the command did.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

int main(int count, char **word) {
  if (count < 3) return fprintf(stderr, "timed: give FILE and COMMAND\n"), 2;
  FILE *out = fopen(word[1], "we");
  if (!out) return perror(word[1]), 2;
  struct timespec from, to;
  struct rusage used;
  int status;
  clock_gettime(CLOCK_MONOTONIC, &from);
  pid_t child = fork();
  if (child < 0) return perror("timed: fork"), 2;
  if (child == 0) {
    execvp(word[2], word + 2);
    perror(word[2]);
    _exit(127);
  }
  waitpid(child, &status, 0);
  clock_gettime(CLOCK_MONOTONIC, &to);
  getrusage(RUSAGE_CHILDREN, &used);
  fprintf(out, "seconds %.6f cpu %.6f faults %ld\n",
          (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9,
          seconds(used.ru_utime) + seconds(used.ru_stime), used.ru_minflt);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
