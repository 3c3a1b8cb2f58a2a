#define _GNU_SOURCE
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static int null, locked, pair[2];
static char *mapped;
enum { MAPPED = 64 << 10 };

static void die(const char *what) {
  perror(what);
  _exit(1);
}
#define MUST(call) ({ __typeof__(call) result_ = (call); if (result_ < 0) die(#call); result_; })

static void open_null(void) { null = MUST(open("/dev/null", O_RDWR)); }
static void open_locked(void) {
  FILE *file = tmpfile();
  if (!file) die("tmpfile");
  locked = fileno(file);
}
static void make_pair(void) { MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)); }
static void map(void) {
  mapped = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) die("mmap");
  memset(mapped, 1, MAPPED);
}

#define REPEAT(name, ...) static void name(long n, long size) { (void)size; for (long i = 0; i < n; i++) { __VA_ARGS__; } }

static void *taken(size_t n) {
  void *p = malloc(n);
  if (!p) die("malloc");
  return p;
}
REPEAT(do_malloc, void *volatile p = taken((size_t)size); free(p))
REPEAT(do_open, close(MUST(open("/dev/null", O_RDONLY))))
REPEAT(do_fopen, FILE *f = fopen("/dev/null", "r"); if (!f) die("fopen"); fclose(f))
REPEAT(do_socket, close(MUST(socket(AF_INET, SOCK_STREAM, 0))))
REPEAT(do_unix, close(MUST(socket(AF_UNIX, SOCK_STREAM, 0))))
REPEAT(do_pipe, int fds[2]; MUST(pipe(fds)); close(fds[0]); close(fds[1]))
REPEAT(do_dup, close(MUST(dup(null))))
REPEAT(do_mmap, void *at = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
       if (at == MAP_FAILED) die("mmap"); munmap(at, MAPPED))
REPEAT(do_mprotect, MUST(mprotect(mapped, MAPPED, PROT_READ)); MUST(mprotect(mapped, MAPPED, PROT_READ | PROT_WRITE)))
REPEAT(do_fork, pid_t child = MUST(fork()); if (!child) _exit(0); waitpid(child, NULL, 0))

// The smallest program there is, beside this one: what a call costs, and not what a program's start does.
static char nothing[4096];
static char *words[] = {nothing, NULL};
static void find_nothing(void) {
  ssize_t n = readlink("/proc/self/exe", nothing, sizeof nothing - 16);
  if (n < 0) die("readlink");
  nothing[n] = 0;
  strcpy(strrchr(nothing, '/') + 1, "nothing");
}
__attribute__((noinline)) static void by_vfork(void) {
  pid_t child = vfork();
  if (child < 0) die("vfork");
  if (!child) {
    execve(nothing, words, environ);
    _exit(127);
  }
  waitpid(child, NULL, 0);
}
REPEAT(do_vfork, by_vfork())
REPEAT(do_spawn, pid_t child; errno = posix_spawn(&child, nothing, NULL, NULL, words, environ); if (errno) die("posix_spawn");
       waitpid(child, NULL, 0))
static char *true_words[] = {"true", NULL};
REPEAT(do_true, pid_t child; errno = posix_spawn(&child, "/bin/true", NULL, NULL, true_words, environ); if (errno) die("posix_spawn");
       waitpid(child, NULL, 0))

static void *leave(void *argument) { return argument; }
REPEAT(do_thread, pthread_t t; errno = pthread_create(&t, NULL, leave, NULL); if (errno) die("pthread_create"); pthread_join(t, NULL))
REPEAT(do_flock, MUST(flock(locked, LOCK_EX)); MUST(flock(locked, LOCK_UN)))

static char byte;
REPEAT(do_read, MUST(read(null, &byte, 1)))
REPEAT(do_write, MUST(write(null, &byte, 1)))
REPEAT(do_send, MUST(send(pair[0], &byte, 1, 0)); MUST(recv(pair[1], &byte, 1, 0)))
REPEAT(do_stat, struct stat info; MUST(fstat(null, &info)))
REPEAT(do_stat_path, struct stat info; MUST(stat("/dev/null", &info)))

// Larson and Krishnan 1998: blocks of many sizes, each freed at random, long after others were made.
enum { LIVE = 1000 };
static void do_larson(long n, long size) {
  static _Thread_local void *live[LIVE];
  static _Thread_local unsigned seed = 1;
  (void)size;
  for (long i = 0; i < n; i++) {
    seed = seed * 1103515245u + 12345u;
    unsigned at = (seed >> 8) % LIVE;
    free(live[at]);
    live[at] = taken(16 + (seed >> 16) % 1000);
  }
}

// One thread makes, another frees: what an allocator that keeps lists of each thread's own finds hardest. The other one stays:
// its creation is measured elsewhere.
enum { RING = 512 };
static void *ring[RING];
static long made, freed;
static void *consume(void *argument) {
  for (long i = 0;; i++) {
    while (__atomic_load_n(&made, __ATOMIC_ACQUIRE) <= i) sched_yield();
    free(ring[i % RING]);
    __atomic_store_n(&freed, i + 1, __ATOMIC_RELEASE);
  }
  return argument;
}
static void start_consumer(void) {
  pthread_t other;
  errno = pthread_create(&other, NULL, consume, NULL);
  if (errno) die("pthread_create");
}
static void do_producer(long n, long size) {
  (void)size;
  long end = made + n;
  for (long i = made; i < end; i++) {
    while (i - __atomic_load_n(&freed, __ATOMIC_ACQUIRE) >= RING) sched_yield();
    ring[i % RING] = taken(64);
    __atomic_store_n(&made, i + 1, __ATOMIC_RELEASE);
  }
  while (__atomic_load_n(&freed, __ATOMIC_ACQUIRE) < end) sched_yield();
}

static const struct kind kinds[] = {
    {"malloc", NULL, do_malloc, 0},
    {"larson", NULL, do_larson, 0},
    {"producer", start_consumer, do_producer, 1 << 16},
    {"open", NULL, do_open, 0},
    {"fopen", NULL, do_fopen, 0},
    {"socket", NULL, do_socket, 0},
    {"unix", NULL, do_unix, 0},
    {"pipe", NULL, do_pipe, 0},
    {"dup", open_null, do_dup, 0},
    {"mmap", NULL, do_mmap, 0},
    {"mprotect", map, do_mprotect, 0},
    {"fork", NULL, do_fork, 0},
    {"vfork", find_nothing, do_vfork, 0},
    {"spawn", find_nothing, do_spawn, 0},
    {"true", NULL, do_true, 0},
    {"thread", NULL, do_thread, 0},
    {"flock", open_locked, do_flock, 0},
    {"read", open_null, do_read, 0},
    {"write", open_null, do_write, 0},
    {"send", make_pair, do_send, 0},
    {"fstat", open_null, do_stat, 0},
    {"stat", NULL, do_stat_path, 0},
};

const struct kind *kind_named(const char *name) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
  return NULL;
}
