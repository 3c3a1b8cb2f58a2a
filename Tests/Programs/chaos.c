// Processes of several threads each that do random things at once, are killed at random and begun again: chaos SEED STEPS
// What is refused is let go. Prints, once all have ended: kills N
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 3, THREADS = 4, KEPT = 12, MIB = 1 << 20 };
extern char **environ;

static uint64_t draw(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

struct kept {
  uint64_t state;
  key_t segment;
  int fds[KEPT];
};

static void keep(struct kept *k, int fd) {
  if (fd < 0) return;
  int *place = &k->fds[draw(&k->state) % KEPT];
  if (*place) close(*place);
  *place = fd;
}

static int some(struct kept *k) { return k->fds[draw(&k->state) % KEPT]; }

static void *brief(void *unused) { return free(malloc(1000)), unused; }

static void wait_for(pid_t pid) {
  if (pid > 0) waitpid(pid, NULL, 0);
}

static void spawn(const char *path) {
  char *arguments[] = {(char *)path, NULL};
  pid_t pid;
  if (posix_spawn(&pid, path, NULL, NULL, arguments, environ) == 0) wait_for(pid);
}

static void child(struct kept *k) {
  for (int i = (int)(draw(&k->state) % 4); i > 0; i--) keep(k, open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (draw(&k->state) % 3 == 0) execl("/bin/true", "true", (char *)NULL);
  if (draw(&k->state) % 4 == 0) raise(SIGKILL);
  _exit(0);
}

static void fork_one(struct kept *k) {
  pid_t pid = fork();
  if (pid == 0) child(k);
  if (pid > 0 && draw(&k->state) % 3 == 0) kill(pid, SIGKILL);
  wait_for(pid);
}

static void memory(struct kept *k) {
  size_t size = (draw(&k->state) % 8 + 1) * MIB;
  char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return;
  p[size / 2] = 1;
  munmap(p, size / 2);
  munmap(p + size / 2, size - size / 2);
}

static void shared(key_t segment) {
  int id = shmget(segment, 5 * 4096, 0600 | IPC_CREAT);
  if (id >= 0) shmctl(id, IPC_RMID, NULL);
}

static void pairs(struct kept *k, int (*make)(int[2])) {
  int ends[2];
  if (make(ends) == 0) keep(k, ends[0]), keep(k, ends[1]);
}
static int of_sockets(int ends[2]) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends); }

static void thread_one(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, brief, NULL) == 0) pthread_join(thread, NULL);
}

static void step(struct kept *k) {
  switch (draw(&k->state) % 18) {
    case 0: case 1: case 2: keep(k, open("/dev/null", O_RDONLY | O_CLOEXEC)); break;
    case 3: keep(k, dup(some(k))); break;
    case 4: keep(k, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); break;
    case 5: keep(k, socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)); break;
    case 6: pairs(k, of_sockets); break;
    case 7: pairs(k, pipe); break;
    case 8: case 9: fork_one(k); break;
    case 10: thread_one(); break;
    case 11: spawn("/bin/true"); break;
    case 12: memory(k); break;
    case 13: free(malloc(draw(&k->state) % (4 * MIB))); break;
    case 14: keep(k, inotify_init1(IN_CLOEXEC)); break;
    case 15: keep(k, posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)); break;
    case 16: shared(k->segment); break;
    default: if (flock(some(k), LOCK_EX | LOCK_NB) == 0) flock(some(k), LOCK_UN);
  }
}

static int steps;
static void *work(void *kept) {
  for (int i = 0; i < steps; i++) step(kept);
  return NULL;
}

static pid_t begin(uint64_t seed, key_t segments) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  static struct kept kept[THREADS];
  pthread_t threads[THREADS];
  int made[THREADS];
  for (int i = 0; i < THREADS; i++) {
    kept[i] = (struct kept){.state = seed * THREADS + (uint64_t)i, .segment = segments + i};
    made[i] = pthread_create(&threads[i], NULL, work, &kept[i]);
  }
  for (int i = 0; i < THREADS; i++)
    if (!made[i]) pthread_join(threads[i], NULL);
  _exit(0);
}

// A segment of a process that was killed before it removed it outlives it, and is held.
static void remove_segments(key_t first) {
  for (int i = 0; i < PROCESSES * THREADS; i++) {
    int id = shmget(first + i, 0, 0);
    if (id >= 0) shmctl(id, IPC_RMID, NULL);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  uint64_t state = strtoull(argv[1], NULL, 10);
  steps = atoi(argv[2]);
  pid_t pids[PROCESSES];
  int kills = 0;
  key_t first_segment = (key_t)((unsigned)getpid() * PROCESSES * THREADS) | 1;
  for (int round = 0; round < 6; round++) {
    for (int i = 0; i < PROCESSES; i++) pids[i] = begin(draw(&state) >> 8, first_segment + i * THREADS);
    usleep((useconds_t)(draw(&state) % 200000));
    int victim = (int)(draw(&state) % PROCESSES);
    if (pids[victim] > 0) kills += kill(pids[victim], SIGKILL) == 0;
    for (int i = 0; i < PROCESSES; i++) wait_for(pids[i]);
  }
  remove_segments(first_segment);
  printf("kills %d\n", kills);
}
