// Processes that oscillate around one shared barrier: boundary MEMBERS HELD_EACH SECONDS ACTIVE sure|unsure|crossK
// Every child opens HELD_EACH files for keeps; then, until the time is up, the ACTIVE first open and close one
// more as fast as they can; `unsure` closes it as a range, in which there may be what the shim knows nothing of, so that only a
// recount knows what has been freed;
// `crossK` opens until it is refused and then closes K, which crosses the bound with each turn.
// With the barrier at MEMBERS × HELD_EACH + what fits, those opens cross it, back and forth. Prints
//   operations N denied N seconds S server_us U
// where an operation is one open with its close, or one refused open, and U is what the parent, which is the server, had of
// the processor meanwhile.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
  _Atomic int ready, go, stop;
  struct { _Atomic long operations, denied; char apart[48]; } each[];
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Of the processor, in nanoseconds (proc(5) schedstat). Opened while there is room for it.
static int statistics;
static long had(void) {
  char text[64] = "";
  return pread(statistics, text, sizeof text - 1, 0) > 0 ? atol(text) : 0;
}

static void cross(struct shared *shared, int i, int k) {
  static int open_now[1 << 16];
  int n = 0;
  while (!shared->stop) {
    int fd = open("/dev/null", O_RDONLY);
    shared->each[i].operations++;
    if (fd >= 0) open_now[n++] = fd;
    else if (errno != ENFILE) perror("boundary: open"), _exit(1);
    else shared->each[i].denied++;
    for (int c = 0; fd < 0 && c < k && n > 0; c++) close(open_now[--n]);
  }
}

static void child(struct shared *shared, int i, int keep, int active, int unsure, int crossing) {
  close(statistics); // so that members share nothing
  for (int k = 0; k < keep; k++)
    if (open("/dev/null", O_RDONLY) < 0) perror("boundary: a file for keeps"), _exit(1);
  shared->ready++;
  while (!shared->go) usleep(1000);
  if (active && crossing) cross(shared, i, crossing);
  while (active && !shared->stop) {
    int fd = open("/dev/null", O_RDONLY);
    if (fd >= 0) {
      if (unsure) close_range((unsigned)fd, (unsigned)fd, 0);
      else close(fd);
    }
    if (fd < 0 && errno == ENFILE) shared->each[i].denied++;
    if (fd < 0 && errno != ENFILE) perror("boundary: open"), _exit(1);
    shared->each[i].operations++;
  }
  while (!shared->stop) usleep(10000);
  _exit(0);
}

int main(int argc, char **argv) {
  if (argc != 6) return fprintf(stderr, "boundary: give MEMBERS HELD_EACH SECONDS ACTIVE sure|unsure|crossK\n"), 2;
  int members = atoi(argv[1]), keep = atoi(argv[2]), active = atoi(argv[4]), unsure = argv[5][0] == 'u';
  int crossing = argv[5][0] == 'c' ? atoi(argv[5] + 5) : 0;
  double seconds = atof(argv[3]);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/schedstat", getppid());
  if ((statistics = open(path, O_RDONLY | O_CLOEXEC)) < 0) return perror("boundary: schedstat"), 1;
  struct shared *shared = mmap(NULL, sizeof *shared + sizeof shared->each[0] * (size_t)members, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return perror("boundary: mmap"), 1;
  for (int i = 0; i < members; i++) {
    pid_t pid = fork();
    if (pid < 0) return perror("boundary: fork"), 1;
    if (pid == 0) child(shared, i, keep, i < active, unsure, crossing);
  }
  for (double limit = now() + 60; shared->ready < members;) {
    usleep(1000);
    if (now() > limit) return fprintf(stderr, "boundary: %d of %d are ready after a minute\n", shared->ready, members), 1;
  }
  double start = now();
  long before = had();
  shared->go = 1;
  usleep((useconds_t)(seconds * 1e6));
  shared->stop = 1;
  double took = now() - start;
  long server = had() - before;
  long operations = 0, denied = 0;
  for (int i = 0; i < members; i++) operations += shared->each[i].operations, denied += shared->each[i].denied;
  int failed = 0, status;
  while (wait(&status) > 0) failed |= status;
  printf("operations %ld denied %ld seconds %.3f server_us %ld\n", operations, denied, took, server / 1000);
  return failed != 0;
}
