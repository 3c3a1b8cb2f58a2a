// What the rows beside numfile refuse, call by call: `name: ok` or the errno. rows/others KIND, in a beancounter whose bound for
// it is 3 (numpty, numinotify, numflock, numsiginfo) or 10 pages (shmpages, lockedpages).
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };
#define SAY(name, expression)                                                  \
  do {                                                                         \
    errno = 0;                                                                 \
    long got_ = (long)(expression);                                            \
    printf("%s: %s\n", name, got_ == -1 ? strerrorname_np(errno) : "ok");      \
  } while (0)

static void terminals(void) {
  int a, b, m, s;
  FILE *f;
  SAY("open", a = open("/dev/ptmx", O_RDWR | O_NOCTTY));
  SAY("posix_openpt", b = posix_openpt(O_RDWR | O_NOCTTY));
  SAY("fopen", (f = fopen("/dev/ptmx", "r+")) ? 0 : -1);
  SAY("open again", open("/dev/pts/ptmx", O_RDWR | O_NOCTTY));
  SAY("fopen again", fopen("/dev/ptmx", "r+") ? 0 : -1);
  SAY("getpt", getpt());
  SAY("openpty", openpty(&m, &s, NULL, NULL, NULL));
  SAY("forkpty", forkpty(&m, NULL, NULL, NULL));
  close(a);
  SAY("openpty after close", openpty(&m, &s, NULL, NULL, NULL));
  fclose(f);
  pid_t child = forkpty(&m, NULL, NULL, NULL);
  if (child == 0) _exit(0);
  SAY("forkpty after fclose", child);
  waitpid(child, NULL, 0);
  close(b);
  b = dup(m); // shared now: only a recount knows when it is gone
  close(m);
  close(b);
  for (int i = 0; i < 3; i++) SAY("getpt", getpt());
}

static void watches(void) {
  int a, b;
  SAY("inotify_init", a = inotify_init());
  SAY("inotify_init1", b = inotify_init1(IN_CLOEXEC));
  SAY("inotify_init", inotify_init());
  SAY("inotify_init", inotify_init());
  SAY("inotify_init1", inotify_init1(0));
  close(a);
  close(dup(b));
  close(b);
  for (int i = 0; i < 3; i++) SAY("inotify_init", inotify_init());
}

static int range(int fd, short type, off_t start, off_t n) {
  struct flock f = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = n};
  return fcntl(fd, F_SETLK, &f);
}

static void locks(void) {
  int fd[5];
  for (int i = 0; i < 5; i++) {
    char name[] = "/tmp/beancounter-locks-XXXXXX";
    fd[i] = mkstemp(name);
    unlink(name);
  }
  for (int i = 0; i < 4; i++) SAY("flock", flock(fd[i], LOCK_EX));
  SAY("flock converted", flock(fd[0], LOCK_SH));
  SAY("range", range(fd[3], F_WRLCK, 0, 10));
  SAY("lockf", lockf(fd[4], F_TLOCK, 1));
  SAY("lease", fcntl(fd[4], F_SETLEASE, F_WRLCK));
  SAY("unlock", flock(fd[0], LOCK_UN));
  close(fd[1]);
  SAY("range", range(fd[3], F_WRLCK, 0, 10));
  SAY("range that grows", range(fd[3], F_WRLCK, 10, 10));
  SAY("lockf", lockf(fd[4], F_TLOCK, 1));
  SAY("range that cuts", range(fd[3], F_RDLCK, 5, 5));
  SAY("unlock that cuts", range(fd[3], F_UNLCK, 5, 5)); // SOFT: over the barrier, within the limit
  SAY("unlock that cuts", range(fd[3], F_UNLCK, 2, 1)); // over the limit
  SAY("unlock all", range(fd[3], F_UNLCK, 0, 0));
  close(fd[4]);
  flock(fd[2], LOCK_UN);
  SAY("lease", fcntl(fd[0], F_SETLEASE, F_WRLCK));
  SAY("no lease", fcntl(fd[0], F_SETLEASE, F_UNLCK));
  for (int i = 0; i < 4; i++) SAY("range", range(fd[3], F_WRLCK, 10 * i, 5));
  errno = 0;
  SAY("bad pointer", fcntl(fd[3], F_SETLK, (struct flock *)16));
}

static void nothing(int number) { (void)number; }

static void signals(void) {
  timer_t timer[4];
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
  sigset_t set;
  signal(SIGRTMIN, nothing);
  int failed = 0;
  for (int i = 0; i < 100; i++) failed += sigqueue(getpid(), SIGRTMIN, (union sigval){0}) != 0;
  printf("delivered at once: %d refused\n", failed);
  for (int i = 0; i < 4; i++) SAY("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer[i]));
  SAY("timer_delete", timer_delete(timer[0]));
  SAY("timer_delete", timer_delete(timer[1]));
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &set, NULL);
  for (int i = 0; i < 3; i++) SAY("sigqueue", sigqueue(getpid(), SIGRTMIN, (union sigval){0}));
  SAY("asks only", sigqueue(getpid(), 0, (union sigval){0}));
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  sigprocmask(SIG_BLOCK, &set, NULL);
  SAY("sigqueue", sigqueue(getpid(), SIGRTMIN, (union sigval){0}));
}

static void shared(void) {
  int one, two, f;
  char *p;
  SAY("shmget", one = shmget(IPC_PRIVATE, 4 * PAGE + 1, 0600));
  SAY("shmget", shmget(IPC_PRIVATE, 6 * PAGE, 0600));
  key_t key = 0x62630000 + getpid();
  SAY("shmget", two = shmget(key, 3 * PAGE, IPC_CREAT | 0600));
  SAY("found", shmget(key, 3 * PAGE, IPC_CREAT | 0600));
  SAY("mmap", p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  SAY("mmap", mmap(NULL, 1, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  munmap(p, 2 * PAGE);
  f = memfd_create("rows", 0);
  SAY("ftruncate", ftruncate(f, 2 * PAGE));
  SAY("ftruncate", ftruncate(f, 3 * PAGE));
  SAY("smaller", ftruncate(f, PAGE));
  SAY("fallocate", fallocate(f, 0, PAGE, PAGE));
  SAY("fallocate", fallocate(f, FALLOC_FL_KEEP_SIZE, 0, 3 * PAGE));
  errno = posix_fallocate(f, 0, 3 * PAGE);
  printf("posix_fallocate: %s\n", errno ? strerrorname_np(errno) : "ok");
  close(f);
  char name[64];
  snprintf(name, sizeof name, "/beancounter-rows-%d", getpid());
  f = shm_open(name, O_CREAT | O_RDWR, 0600);
  SAY("shm_open ftruncate", ftruncate(f, 2 * PAGE));
  SAY("shm_open ftruncate", ftruncate(f, 3 * PAGE));
  shm_unlink(name);
  close(f);
  SAY("removed", shmctl(one, IPC_RMID, NULL));
  void *at = shmat(two, NULL, 0);
  SAY("removed later", shmctl(two, IPC_RMID, NULL));
  SAY("shmget", shmget(IPC_PRIVATE, 8 * PAGE, 0600));
  SAY("detached", shmdt(at));
  SAY("shmget", one = shmget(IPC_PRIVATE, 10 * PAGE, 0600));
  SAY("removed", shmctl(one, IPC_RMID, NULL));
}

static void locked(void) {
  char *p = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SAY("mlock", mlock(p, 4 * PAGE));
  SAY("mlock the same", mlock(p, 4 * PAGE));
  SAY("mlock across", mlock(p + 4 * PAGE - 1, 4 * PAGE + 2)); // 5 new ones
  SAY("mlock2", mlock2(p + 16 * PAGE, 2 * PAGE, MLOCK_ONFAULT));
  SAY("mmap", mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0));
  SAY("mlockall", mlockall(MCL_CURRENT));
  SAY("munlock", munlock(p, 2 * PAGE));
  SAY("mlock2", mlock2(p + 16 * PAGE, 2 * PAGE, MLOCK_ONFAULT));
  SAY("munlockall", munlockall());
  int id = shmget(IPC_PRIVATE, 6 * PAGE, 0600);
  SAY("SHM_LOCK", shmctl(id, SHM_LOCK, NULL));
  SAY("mlock", mlock(p, 5 * PAGE));
  SAY("SHM_UNLOCK", shmctl(id, SHM_UNLOCK, NULL));
  SAY("mlock", mlock(p, 10 * PAGE));
  shmctl(id, IPC_RMID, NULL);
}

int main(int count, char **word) {
  setvbuf(stdout, NULL, _IONBF, 0);
  static const struct {
    const char *name;
    void (*run)(void);
  } kinds[] = {{"numpty", terminals}, {"numinotify", watches}, {"numflock", locks},
               {"numsiginfo", signals}, {"shmpages", shared}, {"lockedpages", locked}};
  for (size_t i = 0; count == 2 && i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(kinds[i].name, word[1]) == 0) return kinds[i].run(), 0;
  return 2;
}
