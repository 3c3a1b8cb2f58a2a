// herd N HELD BURST MILLISECONDS: N children, each of which holds HELD files and a socket, and again and again opens BURST more and
// closes them. Says "ready" when all hold; on SIGUSR1 lets them rest and says "resting"; on SIGTERM kills them and says how
// many rounds there were and how many calls were refused.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
  int go, holding, resting, refused, error, rounds;
} *all;

static void count(int *what) { __atomic_fetch_add(what, 1, __ATOMIC_SEQ_CST); }
static int look(int *what) { return __atomic_load_n(what, __ATOMIC_SEQ_CST); }
static void nap(int ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL); }

static int opened(int fd) {
  if (fd < 0) all->error = errno, count(&all->refused);
  return fd;
}

static void child(int held, int burst, int ms) {
  static int fds[4096];
  for (int i = 0; i < held; i++) opened(open("/dev/null", O_RDONLY));
  opened(socket(AF_UNIX, SOCK_STREAM, 0));
  count(&all->holding);
  while (look(&all->go)) {
    for (int i = 0; i < burst; i++) fds[i] = opened(open("/dev/null", O_RDONLY));
    for (int i = 0; i < burst; i++) if (fds[i] >= 0) close(fds[i]);
    count(&all->rounds);
    nap(ms);
  }
  count(&all->resting);
  for (;;) pause();
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  int n = atoi(argv[1]), held = atoi(argv[2]), burst = atoi(argv[3]), ms = atoi(argv[4]), number;
  all = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t *pids = calloc(n, sizeof *pids);
  all->go = 1;
  sigset_t wanted;
  sigemptyset(&wanted), sigaddset(&wanted, SIGUSR1), sigaddset(&wanted, SIGTERM);
  sigprocmask(SIG_BLOCK, &wanted, NULL);
  for (int i = 0; i < n; i++) {
    pids[i] = fork();
    if (pids[i] == 0) child(held, burst, ms);
    if (pids[i] < 0) return perror("fork"), 1;
  }
  while (look(&all->holding) < n) nap(5);
  puts("ready"), fflush(stdout);
  while (sigwait(&wanted, &number) == 0 && number == SIGUSR1) {
    __atomic_store_n(&all->go, 0, __ATOMIC_SEQ_CST);
    while (look(&all->resting) < n) nap(5);
    puts("resting"), fflush(stdout);
  }
  for (int i = 0; i < n; i++) kill(pids[i], SIGKILL);
  for (int i = 0; i < n; i++) waitpid(pids[i], NULL, 0);
  printf("rounds %d\nrefused %d\nerrno %d\n", all->rounds, all->refused, all->error);
}
