// Processes that oscillate around one shared barrier: boundary MEMBERS HELD_EACH SECONDS ACTIVE sure|unsure|fitsK|around|crossK|turnsK
// Every child opens HELD_EACH files for keeps; then, until the time is up, the ACTIVE first open and close one
// more as fast as they can; `unsure` closes it as a range, in which there may be what the shim knows nothing of, so that only a
// recount knows what has been freed;
// `fitsK` opens one only while fewer than K others have one, as a semaphore tells them after each close: with a barrier of MEMBERS ×
// HELD_EACH + 1 + K nobody may be refused, for there is room always, to the unit;
// `around` opens two, or as many as it is let, and then closes them: whoever is not on the processor holds one of them, or two;
// `crossK` opens until it is refused and then closes K, which crosses the bound with each turn;
// `turnsK` is refused K times in a row, then closes one and opens and closes it K times, so that each mode is the wrong one in turn.
// With the barrier at MEMBERS × HELD_EACH + what fits, those opens cross it, back and forth. Prints
//   operations N denied N seconds S server_us U refused N
// where an operation is one open with its close, or one refused open, and U is what the parent, which is the server, had of
// the processor meanwhile. `refused` has those also that ended when the time was up.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
  _Atomic int ready, go, stop;
  sem_t turns;
  struct { _Atomic long operations, denied; char apart[48]; } each[];
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// A thousand that look now and then whether it is time would leave no processor for what is measured.
static void await(_Atomic int *word) {
  while (!*word) syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
}
static void tell(_Atomic int *word) {
  *word = 1;
  syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

// Of the processor, in nanoseconds (proc(5) schedstat). Opened while there is room for it.
static int statistics;
static long had(void) {
  char text[64] = "";
  return pread(statistics, text, sizeof text - 1, 0) > 0 ? atol(text) : 0;
}

static int another(struct shared *shared, int i) {
  int fd = open("/dev/null", O_RDONLY);
  shared->each[i].operations++;
  if (fd < 0 && errno != ENFILE) perror("boundary: open"), _exit(1);
  if (fd < 0) shared->each[i].denied++;
  return fd;
}

static void cross(struct shared *shared, int i, int k) {
  static int open_now[1 << 16];
  int n = 0;
  while (!shared->stop) {
    int fd = another(shared, i);
    if (fd >= 0) open_now[n++] = fd;
    for (int c = 0; fd < 0 && c < k && n > 0; c++) close(open_now[--n]);
  }
}

static void fits(struct shared *shared, int i) {
  while (!shared->stop) {
    if (sem_wait(&shared->turns)) continue;
    int fd = another(shared, i);
    if (fd >= 0) close(fd);
    sem_post(&shared->turns);
  }
}

static void around(struct shared *shared, int i) {
  while (!shared->stop) {
    int fds[2] = {another(shared, i), -1};
    if (fds[0] >= 0) fds[1] = another(shared, i);
    for (int k = 0; k < 2 && fds[k] >= 0; k++) close(fds[k]);
  }
}

static void turns(struct shared *shared, int i, int k) {
  int last = -1;
  for (int fd; (fd = another(shared, i)) >= 0;) last = fd;
  while (!shared->stop) {
    for (int n = 0; n < k && !shared->stop; n++) another(shared, i);
    close(last);
    for (int n = 0; n < k && !shared->stop; n++) close(another(shared, i));
    last = another(shared, i);
  }
}

static void child(struct shared *shared, int i, int keep, int active, const char *how) {
  close(statistics); // so that members share nothing
  for (int k = 0; k < keep; k++)
    if (open("/dev/null", O_RDONLY) < 0) perror("boundary: a file for keeps"), _exit(1);
  shared->ready++;
  await(&shared->go);
  if (active && how[0] == 'f') fits(shared, i);
  if (active && how[0] == 'a') around(shared, i);
  if (active && how[0] == 'c') cross(shared, i, atoi(how + 5));
  if (active && how[0] == 't') turns(shared, i, atoi(how + 5));
  int unsure = how[0] == 'u';
  while (active && !shared->stop) {
    int fd = another(shared, i);
    if (fd < 0) continue;
    if (unsure) close_range((unsigned)fd, (unsigned)fd, 0);
    else close(fd);
  }
  await(&shared->stop);
  _exit(0);
}

int main(int argc, char **argv) {
  if (argc != 6) return fprintf(stderr, "boundary: give MEMBERS HELD_EACH SECONDS ACTIVE sure|unsure|fitsK|around|crossK|turnsK\n"), 2;
  int members = atoi(argv[1]), keep = atoi(argv[2]), active = atoi(argv[4]);
  double seconds = atof(argv[3]);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/schedstat", getppid());
  if ((statistics = open(path, O_RDONLY | O_CLOEXEC)) < 0) return perror("boundary: schedstat"), 1;
  struct shared *shared = mmap(NULL, sizeof *shared + sizeof shared->each[0] * (size_t)members, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return perror("boundary: mmap"), 1;
  sem_init(&shared->turns, 1, argv[5][0] == 'f' ? (unsigned)atoi(argv[5] + 4) : 0);
  for (int i = 0; i < members; i++) {
    pid_t pid = fork();
    if (pid < 0) return perror("boundary: fork"), 1;
    if (pid == 0) child(shared, i, keep, i < active, argv[5]);
  }
  for (double limit = now() + 60; shared->ready < members;) {
    usleep(1000);
    if (now() > limit) return fprintf(stderr, "boundary: %d of %d are ready after a minute\n", shared->ready, members), 1;
  }
  double start = now();
  long before = had();
  tell(&shared->go);
  usleep((useconds_t)(seconds * 1e6));
  tell(&shared->stop);
  double took = now() - start;
  long server = had() - before;
  long operations = 0, denied = 0;
  for (int i = 0; i < members; i++) operations += shared->each[i].operations, denied += shared->each[i].denied;
  int failed = 0, status;
  while (wait(&status) > 0) failed |= status;
  long refused = 0;
  for (int i = 0; i < members; i++) refused += shared->each[i].denied;
  printf("operations %ld denied %ld seconds %.3f server_us %ld refused %ld\n", operations, denied, took, server / 1000, refused);
  return failed != 0;
}
