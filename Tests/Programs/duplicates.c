// Threads that duplicate descriptors over each other: duplicates SEED THREADS ROUNDS BOUND [unsure]
// unsure: some are locked, and some copied by a fork, so that only a recount knows what their end frees.
// Numbers FIRST … LAST are always open: threads put other files over them (dup2), duplicate them, keep copies for a while.
// After each round, with the threads at rest, the descriptions are counted with kcmp, and files opened until one is refused:
// both together have to be BOUND. Prints
//   rounds R operations N wrong W
// W: rounds in which more or fewer could be opened than there was room for. Exit 1 where a call failed that should not.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST = 10, LAST = 25, FREE = 40, MOST = 512, EACH = 400 };
static pthread_barrier_t begin, end;
static int rounds, unsure;
static _Atomic long operations;

static uint64_t draw(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static int must(const char *what, int result) {
  if (result >= 0) return result;
  perror(what);
  _exit(1);
}

static int made(uint64_t kind) {
  int ends[2];
  switch (kind % 4) {
    case 0: return must("socket", socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    case 1:
      must("pipe2", pipe2(ends, O_CLOEXEC));
      close(ends[1]);
      return ends[0];
    default: return must("open", open("/dev/null", O_RDWR | O_CLOEXEC));
  }
}

static int slot(uint64_t *state) { return FIRST + (int)(draw(state) % (LAST - FIRST + 1)); }

static int copied(uint64_t *state) {
  int from = slot(state);
  return draw(state) % 2 ? must("dup", dup(from)) : must("F_DUPFD", fcntl(from, F_DUPFD_CLOEXEC, FREE));
}

static void step(uint64_t *state, int *kept) {
  int fd;
  switch (draw(state) % 16) {
    case 0: case 1: case 2: must("dup2", dup2(slot(state), slot(state))); break;
    case 3: case 4: fd = made(draw(state)), must("dup2", dup2(fd, slot(state))), close(fd); break;
    case 5: fd = made(draw(state)), must("dup3", dup3(fd, slot(state), O_CLOEXEC)), must("dup2", dup2(fd, slot(state))), close(fd); break;
    case 6: case 7: case 8: close(copied(state)); break;
    case 9: fd = copied(state), must("dup2", dup2(fd, slot(state))), close(fd); break;
    case 10: case 11: if (*kept >= 0) close(*kept); *kept = copied(state); break;
    case 12: if (*kept >= 0) must("dup2", dup2(*kept, slot(state))); break;
    case 13: fd = copied(state), must("dup2", dup2(slot(state), fd)), close(fd); break;
    case 14: if (unsure && draw(state) % 8 == 0) flock(slot(state), LOCK_SH); break;
    default:
      if (!unsure || draw(state) % 8) return;
      pid_t child = must("fork", fork());
      if (!child) _exit(0);
      waitpid(child, NULL, 0);
  }
  operations++;
}

static void *work(void *seed) {
  uint64_t state = (uint64_t)(uintptr_t)seed;
  int kept = -1;
  for (int r = 0; r < rounds; r++) {
    pthread_barrier_wait(&begin);
    for (int i = 0; i < EACH; i++) step(&state, &kept);
    pthread_barrier_wait(&end);
  }
  return NULL;
}

// The first three are from outside.
static int descriptions(void) {
  int seen[MOST], count = 0;
  for (int fd = 3; fd < MOST; fd++) {
    if (fcntl(fd, F_GETFD) < 0) continue;
    int i = 0;
    while (i < count && syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, seen[i], fd) != 0) i++;
    if (i == count) seen[count++] = fd;
  }
  return count;
}

int main(int count, char **word) {
  if (count < 5) return fprintf(stderr, "duplicates: give SEED, THREADS, ROUNDS and BOUND\n"), 2;
  int threads = atoi(word[2]), bound = atoi(word[4]), wrong = 0, opened[MOST];
  rounds = atoi(word[3]);
  unsure = count > 5;
  if (threads < 1 || threads > 16 || bound >= MOST) return 2;
  closefrom(3); // of whoever started it
  for (int fd = FIRST; fd <= LAST; fd++) {
    int one = made(3);
    must("dup2", dup2(one, fd));
    close(one);
  }
  pthread_barrier_init(&begin, NULL, (unsigned)threads + 1);
  pthread_barrier_init(&end, NULL, (unsigned)threads + 1);
  for (int i = 0; i < threads; i++) {
    pthread_t one;
    uintptr_t seed = (uintptr_t)atol(word[1]) * 100 + (uintptr_t)i;
    if (pthread_create(&one, NULL, work, (void *)seed)) return perror("pthread_create"), 1;
  }
  for (int r = 0; r < rounds; r++) {
    pthread_barrier_wait(&begin);
    pthread_barrier_wait(&end);
    int held = descriptions(), n = 0;
    while (n < MOST && (opened[n] = open("/dev/null", O_RDONLY)) >= 0) n++;
    if (errno != ENFILE) return perror("open"), 1;
    for (int i = 0; i < n; i++) close(opened[i]);
    if (held + n != bound) fprintf(stderr, "round %d: %d held, %d opened, bound %d\n", r, held, n, bound), wrong++;
  }
  printf("rounds %d operations %ld wrong %d\n", rounds, (long)operations, wrong);
  return 0;
}
