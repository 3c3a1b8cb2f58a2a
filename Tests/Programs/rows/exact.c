// Takes one unit of a row after another until it is refused, gives one back, and takes it again.
//   exact ROW     prints "took N", "refused ERRNO", "again", "refused ERRNO"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, MOST = 100000 };

static long taken[MOST];
static char *room; // of which pages are locked

static long take_file(int i) { return (void)i, open("/dev/null", O_RDONLY); }
static long take_tcp(int i) { return socket(i % 2 ? AF_INET6 : AF_INET, SOCK_STREAM, 0); }
static long take_other(int i) { return socket(i % 2 ? AF_UNIX : AF_INET, SOCK_DGRAM, 0); }
static long take_pty(int i) { return (void)i, posix_openpt(O_RDWR | O_NOCTTY); }
static long take_inotify(int i) { return (void)i, inotify_init1(0); }
static long take_lock(int i) {
  char name[] = "/tmp/exact-XXXXXX";
  int fd = mkstemp(name);
  unlink(name);
  if (fd < 0 || flock(fd, LOCK_EX) == 0) return fd;
  int saved = errno;
  close(fd);
  return (void)i, errno = saved, -1;
}
static void close_one(long fd) { close((int)fd); }

static long take_task(int i) {
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  return (void)i, child;
}
static void end_task(long child) {
  kill((pid_t)child, SIGKILL);
  waitpid((pid_t)child, NULL, 0);
}

static long take_timer(int i) {
  timer_t timer;
  struct sigevent none = {.sigev_notify = SIGEV_NONE};
  return (void)i, timer_create(CLOCK_MONOTONIC, &none, &timer) < 0 ? -1 : (long)(intptr_t)timer;
}
static void end_timer(long timer) { timer_delete((timer_t)(intptr_t)timer); }

static long take_segment(int i) { return (void)i, shmget(IPC_PRIVATE, PAGE, 0600); }
static void end_segment(long id) { shmctl((int)id, IPC_RMID, NULL); }

static long take_locked(int i) { return mlock(room + (long)i * PAGE, PAGE) < 0 ? -1 : i; }
static void end_locked(long i) { munlock(room + i * PAGE, PAGE); }

static long take_page(int i) {
  // Apart from one another: the kernel has a bound on mappings too, and neighbours are one.
  void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return (void)i, page == MAP_FAILED ? -1 : (long)page;
}
static void end_page(long page) { munmap((void *)page, PAGE); }

static const struct {
  const char *name;
  long (*take)(int);
  void (*give)(long);
} rows[] = {
    {"numfile", take_file, close_one},       {"numtcpsock", take_tcp, close_one},   {"numothersock", take_other, close_one},
    {"numpty", take_pty, close_one},         {"numinotify", take_inotify, close_one}, {"numflock", take_lock, close_one},
    {"numproc", take_task, end_task},        {"numsiginfo", take_timer, end_timer}, {"shmpages", take_segment, end_segment},
    {"lockedpages", take_locked, end_locked}, {"privvmpages", take_page, end_page},
};

// Kilobytes of private writable memory, as the kernel counts them, without a file of stdio's.
static long data(void) {
  char text[8192];
  int fd = open("/proc/self/status", O_RDONLY);
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = 0;
  char *line = strstr(text, "VmData:");
  return line ? strtol(line + 7, NULL, 10) : -1;
}

int main(int count, char **word) {
  setvbuf(stdout, NULL, _IONBF, 0);
  room = mmap(NULL, 1000 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (size_t r = 0; count > 1 && r < sizeof rows / sizeof *rows; r++) {
    if (strcmp(rows[r].name, word[1]) != 0) continue;
    int n = 0;
    while (n < MOST && (taken[n] = rows[r].take(n)) >= 0) n++;
    int error = errno;
    if (strcmp(word[1], "privvmpages") == 0) printf("took all: %ld kB\n", data());
    else printf("took %d\n", n);
    printf("refused %s\n", strerrorname_np(error));
    if (n == 0) return 1;
    rows[r].give(taken[--n]);
    taken[n] = rows[r].take(n);
    if (taken[n] >= 0) puts("again"), n++;
    else printf("not again: %s\n", strerrorname_np(errno));
    if (rows[r].take(n) >= 0) puts("one too many");
    else printf("refused %s\n", strerrorname_np(errno));
    while (n > 0) rows[r].give(taken[--n]);
    return 0;
  }
  return 2;
}
