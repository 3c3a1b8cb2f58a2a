// A tree that maps, forks and starts images at random under a bound of memory. argv: seed, bound in KiB, steps
// The first process stops all others every few milliseconds and adds up what the kernel says that they have. In the end,
// with everybody still and holding what was booked ahead, it looks whether the last page and the last fork are to be had.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
enum { WORKERS = 4, MAPS = 64, CHILDREN = 4, MOST = 512, PAGE = 4096 };
static char *const words[] = {"true", NULL};
static struct shared {
  int stop[WORKERS];                                // no more steps
  int done[WORKERS];                                // … and has none left
  long refused, unloaded, signalled, forks, images; // over all workers
} *shared;

static void nap(long microseconds) { nanosleep(&(struct timespec){0, microseconds * 1000}, NULL); }

// --- the workers ---------------------------------------------------------------------------------------------------

static void ended(int status) {
  if (WIFSIGNALED(status)) __atomic_fetch_add(&shared->signalled, 1, __ATOMIC_RELAXED);
  else if (WEXITSTATUS(status)) __atomic_fetch_add(&shared->unloaded, 1, __ATOMIC_RELAXED);
}

static void refused(int error) {
  if (error != ENOMEM && error != EAGAIN) fprintf(stderr, "errno %d\n", error), exit(3);
  __atomic_fetch_add(&shared->refused, 1, __ATOMIC_RELAXED);
}

static void worker(int number, unsigned seed, int steps) {
  void *maps[MAPS] = {0};
  size_t sizes[MAPS];
  int children = 0;
  srand(seed * 31 + (unsigned)number);
  for (int i = 0; i < steps && !__atomic_load_n(&shared->stop[number], __ATOMIC_SEQ_CST); i++) {
    int slot = rand() % MAPS, what = rand() % 8;
    pid_t child;
    if (what < 4 && maps[slot]) {
      munmap(maps[slot], sizes[slot]);
      maps[slot] = NULL;
    } else if (what < 4) {
      sizes[slot] = (size_t)(1 + rand() % 512) * PAGE;
      void *got = mmap(NULL, sizes[slot], PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      maps[slot] = got == MAP_FAILED ? NULL : got;
      if (!maps[slot]) refused(errno);
    } else if (children < CHILDREN && what == 7) {
      int error = posix_spawn(&child, "/bin/true", NULL, NULL, words, environ);
      if (error) refused(error);
      else children++, __atomic_fetch_add(&shared->images, 1, __ATOMIC_RELAXED);
    } else if (children < CHILDREN) {
      int grows = rand() % 3, waits = rand() % 3000;
      if (!(child = fork())) {
        if (what == 5) execv("/bin/true", words), _exit(errno == ENOMEM ? 0 : 4);
        if (grows) mmap(NULL, (size_t)grows << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        nap(waits);
        _exit(0);
      }
      if (child < 0) refused(errno);
      else children++, __atomic_fetch_add(&shared->forks, 1, __ATOMIC_RELAXED);
    }
    int status;
    while (children && (child = waitpid(-1, &status, children == CHILDREN ? 0 : WNOHANG)) > 0) children--, ended(status);
  }
  for (int status; children && wait(&status) > 0; children--) ended(status);
  __atomic_store_n(&shared->done[number], 1, __ATOMIC_SEQ_CST);
  for (;;) pause();
}

// --- looking at them -----------------------------------------------------------------------------------------------

static char text[65536];
static const char *contents(const char *format, int a, int b) {
  char path[64];
  snprintf(path, sizeof path, format, a, b);
  int fd = open(path, O_RDONLY);
  long n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[n > 0 ? n : 0] = 0;
  return text;
}

static long data(pid_t pid) { // KiB
  const char *at = strstr(contents("/proc/%d/status", pid, 0), "\nVmData:");
  return at ? atol(at + 8) : 0;
}

static char state(pid_t pid) {
  const char *at = strrchr(contents("/proc/%d/stat", pid, 0), ')');
  return at ? at[2] : 'X';
}

static int below(pid_t pid, pid_t *found, int n) {
  int first = n;
  for (const char *at = contents("/proc/%d/task/%d/children", pid, pid); *at && n < MOST;) {
    char *end;
    found[n] = (pid_t)strtol(at, &end, 10);
    if (end == at) break;
    at = end + (*end == ' ');
    n++;
  }
  for (int i = first, last = n; i < last; i++) n = below(found[i], found, n);
  return n;
}

// All but this process stand still: then what they have is what they had at one moment.
static int stopped(pid_t *all) {
  for (int before = -1, n;; before = n) {
    n = below(getpid(), all, 0);
    int moving = 0;
    for (int i = 0; i < n; i++) {
      kill(all[i], SIGSTOP);
      moving += !strchr("TtDZX", state(all[i])); // D: the parent in vfork, whose child has been stopped
    }
    if (n == before && !moving) return n;
    sched_yield();
  }
}

static long total(const pid_t *all, int n) {
  long sum = data(getpid());
  for (int i = 0; i < n; i++) {
    bool borrowed = false; // a child of vfork: its parent is in the list
    for (int j = 0; j < i && !borrowed; j++) borrowed = syscall(SYS_kcmp, all[i], all[j], KCMP_VM, 0, 0) == 0;
    sum += borrowed ? 0 : data(all[i]);
  }
  return sum;
}

static void go_on(const pid_t *all, int n) {
  for (int i = 0; i < n; i++) kill(all[i], SIGCONT);
}

static void *filled(size_t bytes) {
  return bytes ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;
}

static int forked(void) { // 0, or the errno
  pid_t child = fork();
  if (child == 0) _exit(0);
  if (child < 0) return errno;
  waitpid(child, NULL, 0);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  unsigned seed = (unsigned)atoi(argv[1]);
  long bound = atol(argv[2]), most = 0;
  int looks = 0, busy = 1;
  static pid_t all[MOST];
  setvbuf(stdout, malloc(4096), _IOFBF, 4096);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t first; // from now on it is known what that image takes
  if (posix_spawn(&first, "/bin/true", NULL, NULL, words, environ)) return 1;
  waitpid(first, NULL, 0);
  for (int i = 0; i < WORKERS; i++) {
    pid_t child = fork();
    if (child == 0) worker(i, seed, atoi(argv[3]));
    if (child < 0) return perror("fork"), 1;
  }
  while (busy) {
    int n = stopped(all);
    long sum = total(all, n);
    go_on(all, n);
    if (sum > most) most = sum;
    looks++;
    nap(2000);
    busy = 0;
    for (int i = 0; i < WORKERS; i++) busy |= !__atomic_load_n(&shared->done[i], __ATOMIC_SEQ_CST);
  }
  printf("looks %d\nmost %ld\nforks %ld\nimages %ld\nrefused %ld\n", looks, most, shared->forks, shared->images, shared->refused);
  printf("unloaded %ld\nsignalled %ld\n", shared->unloaded, shared->signalled);
  fflush(stdout);
  // Everybody sleeps. The last page:
  int n = below(getpid(), all, 0);
  long left = bound - total(all, n);
  if (left > 0) {
    void *last = filled((size_t)left << 10);
    printf("last-page %d\n", last == MAP_FAILED ? errno : 0);
    printf("one-more %d\n", filled(PAGE) == MAP_FAILED ? errno : 0);
    if (last != MAP_FAILED) munmap(last, (size_t)left << 10);
  }
  // The last fork: half of what is left is the parent's, half is its child's. One page more is not to be had.
  while ((left = bound - total(all, n)) < data(getpid()) + 64 && n > 0) {
    kill(all[--n], SIGKILL); // makes room for it
    waitpid(all[n], NULL, 0);
  }
  long half = (left - data(getpid())) / 2 / 4 * 4;
  if (half > 0) {
    void *own = filled((size_t)half << 10);
    printf("last-fork %d\n", own == MAP_FAILED ? -errno : forked());
    void *more = filled(2 * PAGE);
    printf("no-fork %d\n", more == MAP_FAILED ? -errno : forked());
  }
  fflush(stdout);
  for (int i = 0; i < n; i++) kill(all[i], SIGKILL);
  while (wait(NULL) > 0) {}
  return 0;
}
