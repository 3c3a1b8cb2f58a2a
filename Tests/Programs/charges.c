// Charges by the million, with threads and forks, some of which are refused on purpose:  charges COUNT SEED
// A generation is a few processes of a few threads each; each thread opens, closes, makes sockets, pairs, pipes, duplicates,
// threads and children at random until all have made their share. One process in four is killed with all that it has open.
// Prints: charges N refused FILES SOCKETS TASKS kills N     (refused: calls, by errno, as the program saw them)
// Exit 1 when a call failed in a way that no refusal explains.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 3, THREADS = 2, MOST = 24, SHARE = 20000 };
static struct { _Atomic long charges, files, sockets, tasks, kills, broken; } *seen;
static long goal;

static uint64_t draw(uint64_t *state) { // SplitMix64
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

struct worker { uint64_t state; long charges; int fds[MOST], count; };

static void refused(const char *call) {
  switch (errno) {
    case ENFILE: seen->files++; return;
    case ENOBUFS: case ENOMEM: seen->sockets++; return;
    case EAGAIN: seen->tasks++; return;
    default: fprintf(stderr, "charges: %s: %s\n", call, strerror(errno)); seen->broken++;
  }
}

static void keep(struct worker *w, int fd) { w->fds[w->count++] = fd; }

static void *nothing(void *unused) { return unused; }

static void obtain(struct worker *w) {
  int pair[2], fd, status;
  pthread_t t;
  pid_t child;
  switch (draw(&w->state) % 256) {
    case 0: // a thread, now and then a child: 50 times dearer than a file
      if (draw(&w->state) % 16) {
        if ((errno = pthread_create(&t, NULL, nothing, NULL))) refused("pthread_create");
        else pthread_join(t, NULL);
      } else if ((child = fork()) < 0) {
        refused("fork");
      } else if (child == 0) {
        _exit(0);
      } else if (waitpid(child, &status, 0) != child || status) {
        seen->broken++;
      }
      w->charges++;
      return;
    case 1 ... 10:
      if ((fd = socket(draw(&w->state) % 2 ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0) refused("socket");
      else keep(w, fd);
      w->charges += 2;
      return;
    case 11 ... 14:
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) refused("socketpair");
      else keep(w, pair[0]), keep(w, pair[1]);
      w->charges += 4;
      return;
    case 15 ... 40:
      if (pipe2(pair, O_CLOEXEC) < 0) refused("pipe2");
      else keep(w, pair[0]), keep(w, pair[1]);
      w->charges += 2;
      return;
    case 41:
      if (w->count && (fd = dup(w->fds[0])) >= 0) keep(w, fd);
      return;
    default:
      if ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0) refused("open");
      else keep(w, fd);
      w->charges++;
  }
}

static void *work(void *given) {
  struct worker *w = given;
  while (w->charges < SHARE) {
    if (w->count + 2 > MOST || (w->count && draw(&w->state) % 2)) {
      uint64_t i = draw(&w->state) % (uint64_t)w->count;
      if (close(w->fds[i]) < 0) seen->broken++;
      w->fds[i] = w->fds[--w->count];
    } else {
      obtain(w);
    }
  }
  seen->charges += w->charges;
  return NULL;
}

static void process(uint64_t state) {
  struct worker workers[THREADS] = {0};
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    workers[i].state = draw(&state);
    while ((errno = pthread_create(&threads[i], NULL, work, &workers[i]))) refused("pthread_create"); // it is to be done
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  _exit(0); // with what it has open
}

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "charges COUNT SEED\n"), 2;
  goal = atol(argv[1]);
  uint64_t state = strtoull(argv[2], NULL, 10);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  while (seen->charges < goal) {
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
      uint64_t own = draw(&state);
      while ((children[i] = fork()) < 0) refused("fork");
      if (children[i] == 0) process(own);
    }
    if (draw(&state) % 4 == 0) { // what it had charged so far is not counted above, and is to come back all the same
      usleep((useconds_t)(draw(&state) % 20000));
      kill(children[0], SIGKILL);
      seen->kills++;
    }
    for (int i = 0; i < PROCESSES; i++) waitpid(children[i], NULL, 0);
    while (waitpid(-1, NULL, 0) > 0) {}
  }
  printf("charges %ld refused %ld %ld %ld kills %ld\n", seen->charges, seen->files, seen->sockets, seen->tasks, seen->kills);
  return seen->broken != 0;
}
