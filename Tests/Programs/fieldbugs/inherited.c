// Threads that ask the server all the time, while others fork and spawn: a child has the descriptors that the program has
// opened, and no other. Arguments: files to hold first, then programs to run.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
enum { ASKERS = 4, FORKERS = 3, FORKS = 60 };
static int stop, sockets, refused;

static void *ask(void *unused) {
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    int fd = open("/dev/null", O_RDONLY);
    if (fd >= 0) close(fd);
  }
  return unused;
}

static int status_of(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) != pid) {}
  return WEXITSTATUS(status);
}

static void *make(void *unused) {
  for (int i = 0; i < FORKS; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      int found = 0, type;
      socklen_t size = sizeof type;
      for (int fd = 0; fd < 256; fd++) found += getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
      _exit(found);
    }
    __atomic_fetch_add(pid < 0 ? &refused : &sockets, pid < 0 ? 1 : status_of(pid), __ATOMIC_RELAXED);
  }
  return unused;
}

int main(int argc, char **argv) {
  for (int i = atoi(argv[1]); i > 0 && open("/dev/null", O_RDONLY) >= 0; i--) {}
  pthread_t askers[ASKERS], makers[FORKERS];
  for (int i = 0; i < ASKERS; i++) pthread_create(&askers[i], NULL, ask, NULL);
  for (int i = 0; i < FORKERS; i++) pthread_create(&makers[i], NULL, make, NULL);
  int failed = 0;
  for (int i = 2; i < argc; i++) {
    pid_t pid;
    char *run[] = {argv[i], NULL};
    int error = posix_spawn(&pid, argv[i], NULL, NULL, run, environ);
    failed += error || status_of(pid);
  }
  for (int i = 0; i < FORKERS; i++) pthread_join(makers[i], NULL);
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < ASKERS; i++) pthread_join(askers[i], NULL);
  printf("sockets %d refused %d failed %d\n", sockets, refused, failed);
}
