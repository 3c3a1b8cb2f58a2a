// How long a server takes from its exec until it can be connected to: ready PATH COMMAND [ARG…]. Starts COMMAND, tries PATH
// until somebody answers there, prints milliseconds, and ends COMMAND.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int count, char **word) {
  if (count < 3) return fprintf(stderr, "ready: give PATH and COMMAND\n"), 2;
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  strncpy(at.sun_path, word[1], sizeof at.sun_path - 1);
  double from = now();
  pid_t child = fork();
  if (child == 0) {
    execvp(word[2], word + 2);
    _exit(127);
  }
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), connected;
  while ((connected = connect(fd, (struct sockaddr *)&at, sizeof at)) < 0 && now() - from < 5000) usleep(100);
  double took = now() - from;
  kill(child, SIGTERM);
  waitpid(child, NULL, 0);
  if (connected < 0) return fprintf(stderr, "ready: nobody answers at %s\n", word[1]), 1;
  printf("%.2f\n", took);
  return 0;
}
