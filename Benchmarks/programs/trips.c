// Round trips to a server: trips MILLISECONDS|xCOUNT CLIENTS CPU [PATH]
// With PATH the server is echo; without, it is the beancounter's that BC_SERVER and BC_TOKEN name: this program is then
// its own shim (start it with BC_DISABLE=1), joins, and charges one numfile in each trip, having spent what the last brought.
// CPU is where the first client is to run, −1 for anywhere. Prints
//   us U trips N seconds S
// U being the median of the first client's batches, N and S of all clients together.
#define _GNU_SOURCE
#include "wire.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_un server = {.sun_family = AF_UNIX};
static uint64_t token[2];
static struct bc_cell *files;
static struct shared { _Atomic int ready, go; _Atomic long trips; } *shared;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void ask(const struct bc_request *question, struct bc_answer *answer, int *got) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {answer, sizeof *answer};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0) perror("trips: connect"), exit(1);
  if (send(fd, question, sizeof *question, MSG_NOSIGNAL) < 0) perror("trips: send"), exit(1);
  ssize_t n = got ? recvmsg(fd, &message, MSG_CMSG_CLOEXEC) : recv(fd, answer, sizeof *answer, 0);
  if (n != (ssize_t)sizeof *answer || answer->error) fprintf(stderr, "trips: an answer of %zd bytes, error %d\n", n, answer->error), exit(1);
  struct cmsghdr *c = got ? CMSG_FIRSTHDR(&message) : NULL;
  if (c) memcpy(got, CMSG_DATA(c), sizeof *got);
  close(fd);
}

static void join(void) {
  struct bc_request question = {.magic = BC_WIRE_MAGIC, .kind = BC_JOIN, .thread = getpid(), .parent = getppid(), .socket = -1};
  struct bc_answer answer;
  int fd = -1;
  memcpy(question.token, token, sizeof token);
  ask(&question, &answer, &fd);
  void *page = mmap(NULL, BC_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) perror("trips: no page came"), exit(1);
  close(fd);
  files = bc_page_cell(page, BC_NUMFILE);
}

static void trip(void) {
  struct bc_request question = {
      .magic = BC_WIRE_MAGIC, .kind = BC_CHARGE, .resource = BC_NUMFILE, .amount = 1, .thread = getpid(), .socket = -1, .call = "trips"};
  struct bc_answer answer;
  memcpy(question.token, token, sizeof token);
  if (files) { // spent, as the shim would have spent it
    bc_exchange(&files->credit, 0);
    bc_store(&files->low, 0);
  }
  ask(&question, &answer, NULL);
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double client(double microseconds, long exactly) {
  enum { MOST = 1 << 16, EACH = 20 };
  static double took[MOST];
  int n = 0;
  for (double end = now() + microseconds; n < MOST && (exactly ? n * EACH < exactly : now() < end); n++) {
    double from = now();
    for (int i = 0; i < EACH; i++) trip();
    took[n] = (now() - from) / EACH;
  }
  shared->trips += (long)n * EACH;
  qsort(took, (size_t)n, sizeof *took, ascending);
  return took[n / 2];
}

int main(int count, char **word) {
  if (count < 4) return fprintf(stderr, "trips: give MILLISECONDS or xCOUNT, CLIENTS, CPU\n"), 2;
  long exactly = word[1][0] == 'x' ? atol(word[1] + 1) : 0;
  double microseconds = atof(word[1]) * 1e3;
  int clients = atoi(word[2]), cpu = atoi(word[3]);
  bool is_echo = count > 4;
  const char *path = is_echo ? word[4] : getenv("BC_SERVER"), *hex = getenv("BC_TOKEN");
  if (!path || strlen(path) >= sizeof server.sun_path) return fprintf(stderr, "trips: no server\n"), 2;
  strcpy(server.sun_path, path);
  if (!is_echo && (!hex || sscanf(hex, "%16lx%16lx", &token[0], &token[1]) != 2)) return fprintf(stderr, "trips: no BC_TOKEN\n"), 2;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu < 0 ? 0 : cpu, &one);
  if (cpu >= 0 && sched_setaffinity(0, sizeof one, &one) < 0) return perror("trips: affinity"), 1;
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return perror("trips: mmap"), 1;
  for (int i = 1; i < clients; i++) {
    pid_t pid = fork();
    if (pid < 0) return perror("trips: fork"), 1;
    if (pid) continue;
    if (!is_echo) join();
    shared->ready++;
    while (!shared->go) usleep(200);
    client(microseconds, exactly);
    return 0;
  }
  if (!is_echo) join();
  for (int tries = 0; shared->ready < clients - 1; usleep(200))
    if (tries++ > 50000) return fprintf(stderr, "trips: a client did not start\n"), 1;
  double from = now();
  shared->go = 1;
  double median = client(microseconds, exactly);
  int status, failed = 0;
  while (wait(&status) > 0) failed |= status != 0;
  printf("us %.3f trips %ld seconds %.4f\n", median, (long)shared->trips, (now() - from) / 1e6);
  return failed;
}
