// Signals at 10 kHz whose handler opens, closes and forks, under a main that allocates and opens; stacks of the least size; jumps
// out of a handler that interrupted a call; bad pointers; calls that are interrupted.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t handled, wrong, forks;
static sigjmp_buf back;

static void handler(int n) {
  (void)n;
  int saved = errno, fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || close(fd)) wrong++;
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  if (s < 0 || close(s)) wrong++;
  if (handled++ % 500 == 0 && forks < 20) {
    forks++;
    pid_t child = _Fork(); // fork takes locks of malloc, which its thread may hold
    if (child == 0) {
      char *const argv[] = {"/bin/true", NULL}, *const none[] = {NULL};
      execve(argv[0], argv, none);
      _exit(99);
    }
    int status = 1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (status) wrong++;
  }
  errno = saved;
}

static void *allocate(void *unused) {
  (void)unused;
  for (int i = 0; i < 50000 || handled < 3000; i++) {
    void *p = malloc(i * 31 % 100000);
    int fd = open("/dev/null", O_RDONLY);
    errno = 0;
    if (!p || fd < 0 || close(fd) || errno) wrong++;
    free(p);
  }
  return NULL;
}

static void tick(int which, int number, int microseconds) {
  struct itimerval timer = {{0, microseconds}, {0, microseconds}};
  struct sigaction action = {.sa_handler = microseconds ? handler : SIG_IGN, .sa_flags = SA_RESTART};
  sigaction(number, &action, NULL);
  setitimer(which, &timer, NULL);
}

static void often(void) {
  pthread_t other;
  tick(ITIMER_REAL, SIGALRM, 100), tick(ITIMER_PROF, SIGPROF, 100);
  pthread_create(&other, NULL, allocate, NULL);
  allocate(NULL);
  pthread_join(other, NULL);
  tick(ITIMER_REAL, SIGALRM, 0), tick(ITIMER_PROF, SIGPROF, 0);
  printf("often: wrong %d enough %d\n", wrong, handled >= 3000);
}

// Opens, allocates, forks and starts a shell from wherever it is called.
static void obtain(const char *where) {
  int fd = open("/dev/null", O_RDONLY), pair[2], made = socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), status = -1;
  void *pages = mmap(NULL, 40 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pid_t child = fork();
  if (child == 0) _exit(open("/dev/null", O_RDONLY) >= 0 ? 3 : 4);
  waitpid(child, &status, 0);
  char line[100];
  int n = 0;
  // By hand: printf wants more stack than there is.
  for (const char *c = where; *c; c++) line[n++] = *c;
  line[n++] = ' ', line[n++] = fd >= 0 ? 'o' : '-', line[n++] = made == 0 ? 's' : '-', line[n++] = pages != MAP_FAILED ? 'm' : '-';
  line[n++] = WEXITSTATUS(status) == 3 ? 'f' : '-', line[n++] = '\n';
  if (write(1, line, n) != n) _exit(9);
  munmap(pages, 40 << 20), close(fd), close(pair[0]), close(pair[1]);
}

static void *on_small_stack(void *unused) { return obtain("stack of 16 KiB"), unused; }
static void on_alternate(int n) { (void)n, obtain("alternate stack"); }
static ucontext_t here, coroutine;
static void in_coroutine(void) { obtain("coroutine"); }

static void small(void) {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN);
  pthread_t thread;
  if (pthread_create(&thread, &attr, on_small_stack, NULL) == 0) pthread_join(thread, NULL);
  size_t size = sysconf(_SC_MINSIGSTKSZ) + 6144;
  stack_t stack = {.ss_sp = malloc(size), .ss_size = size};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_handler = on_alternate, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR2, &action, NULL);
  raise(SIGUSR2);
  stack.ss_flags = SS_DISABLE;
  sigaltstack(&stack, NULL);
  getcontext(&coroutine);
  coroutine.uc_stack.ss_size = 16384, coroutine.uc_stack.ss_sp = malloc(16384), coroutine.uc_link = &here;
  makecontext(&coroutine, in_coroutine, 0);
  swapcontext(&here, &coroutine);
}

static const struct itimerval never;
static void jump(int n) { (void)n, setitimer(ITIMER_REAL, &never, NULL), siglongjmp(back, 1); }

static int listening(void) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(s, (struct sockaddr *)&name, sizeof name.sun_family) || listen(s, 1)) _exit(8);
  return s;
}

static int blocks_on; // 0 a FIFO, 1 accept, 2 flock, 3 a byte range, 4 a pause
static int a_listener, a_lock;
static void block(void) {
  struct flock range = {.l_type = F_WRLCK};
  switch (blocks_on) {
    case 0: open("fifo", O_RDONLY); break;
    case 1: accept(a_listener, NULL, NULL); break;
    case 2: flock(a_lock, LOCK_EX); break;
    case 3: fcntl(a_lock, F_SETLKW, &range); break;
  }
}
static void *block_thread(void *unused) {
  sigset_t all; // the jumps are the main thread's
  sigfillset(&all), pthread_sigmask(SIG_SETMASK, &all, NULL);
  return block(), unused;
}

// Out of each of the four: by a jump, by cancellation, by EINTR; and while one thread is in it, another goes on.
static void blocking(void) {
  mkfifo("fifo", 0600);
  a_listener = listening(), a_lock = open("lock", O_RDWR | O_CREAT, 0600);
  int holder[2];
  if (pipe(holder)) _exit(8);
  pid_t child = fork();
  if (child == 0) {
    struct flock range = {.l_type = F_WRLCK};
    int other = open("lock", O_RDWR);
    flock(other, LOCK_EX), fcntl(other, F_SETLK, &range);
    if (write(holder[1], "", 1) != 1) _exit(8);
    for (;;) pause();
  }
  char byte;
  if (read(holder[0], &byte, 1) != 1) _exit(8);
  for (blocks_on = 0; blocks_on < 4; blocks_on++) {
    int jumps = 0, cancelled = 0, interrupted = 0, beside = 0;
    struct sigaction action = {.sa_handler = jump, .sa_flags = SA_NODEFER};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = {{0, 2000}, {0, 2000}}; // again, should the first come before the call blocks
    for (volatile int i = 0; i < 20; i++)
      if (sigsetjmp(back, 1) == 0) setitimer(ITIMER_REAL, &soon, NULL), block();
      else jumps++;
    for (int i = 0; i < 20; i++) {
      pthread_t thread;
      void *result;
      if (pthread_create(&thread, NULL, block_thread, NULL)) continue;
      usleep(2000);
      int fd = open("/dev/null", O_RDONLY), pair[2] = {-1, -1};
      beside += fd >= 0 && close(fd) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;
      close(pair[0]), close(pair[1]);
      if (blocks_on == 2) { // flock(2) is no cancellation point
        pthread_detach(thread), cancelled++;
        break;
      }
      pthread_cancel(thread);
      pthread_join(thread, &result);
      cancelled += result == PTHREAD_CANCELED;
    }
    action.sa_handler = handler, action.sa_flags = 0, handled = 1;
    sigaction(SIGALRM, &action, NULL);
    for (int i = 0; i < 5; i++) {
      setitimer(ITIMER_REAL, &soon, NULL);
      errno = 0, block(), interrupted += errno == EINTR;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    printf("blocking %d: jumps %d cancelled %d beside %d interrupted %d\n", blocks_on, jumps, cancelled, beside > 0, interrupted);
  }
  kill(child, SIGKILL), waitpid(child, NULL, 0);
}

// Deferred and asynchronous cancellation: what is a point and what is none, as without us.
static void *cancelled_at(void *which) {
  pthread_setcanceltype((intptr_t)which >= 10 ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED, NULL);
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  pthread_cancel(pthread_self());
  if ((intptr_t)which < 10) pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
  int pair[2];
  switch ((intptr_t)which % 10) {
    case 0: open("/dev/null", O_RDONLY); break;
    case 1: socket(AF_UNIX, SOCK_STREAM, 0); break;
    case 2: if (pipe(pair)) {} break;
    case 3: close(open("/dev/null", O_RDONLY | O_PATH)); break;
    case 4: free(malloc(1 << 22)); break;
    case 5: fopen("/dev/null", "r"); break;
    case 6: dup(1); break;
    case 7: fcntl(1, F_GETFL); break;
    case 8: waitpid(-1, NULL, WNOHANG); break;
    case 9: accept(-1, NULL, NULL); break;
  }
  return NULL;
}
static void points(void) {
  printf("points:");
  for (intptr_t i = 0; i < 20; i++) {
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, cancelled_at, (void *)i);
    pthread_join(thread, &result);
    printf(" %d", result == PTHREAD_CANCELED);
  }
  puts("");
}

// A pointer that is no pointer is the kernel's to refuse.
static char *volatile no_pointer = (char *)16;
static void faults(void) {
  char *bad = no_pointer, *last = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(last + 4096, 4096);
  struct flock *lock = (struct flock *)bad;
  struct msghdr message = {.msg_iov = (struct iovec *)bad, .msg_iovlen = 1};
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
#define TRY(call)                  \
  do {                             \
    errno = 0;                     \
    long got = (long)(call);       \
    printf(" %ld:%d", got, errno); \
  } while (0)
  printf("faults:");
  TRY(open(bad, O_RDONLY)); TRY(openat(AT_FDCWD, bad, O_RDONLY)); TRY(creat(bad, 0)); TRY(pipe((int *)bad)); TRY(fcntl(0, F_SETLK, lock));
  TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)bad)); TRY(accept(s, (struct sockaddr *)bad, (socklen_t *)bad)); TRY(recvmsg(s, &message, 0));
  TRY(execve(bad, NULL, NULL)); TRY(execve("/bin/true", (char **)bad, NULL)); TRY(memfd_create(bad, 0)); TRY(mkstemp(strcpy(last, "no")));
  char *const some[] = {"true", NULL}, *const wrong_entry[] = {"A=B", bad, NULL};
  TRY(execve("/bin/true", some, (char **)bad));
  TRY(execve("/bin/true", some, wrong_entry));
  TRY(posix_spawn(NULL, "/bin/true", NULL, NULL, some, (char **)bad));
  strcpy(last + 4089, "/dev/n"), last[4095] = 'u';
  TRY(open(last + 4089, O_RDONLY)); // no end before the page ends
  TRY(setrlimit(RLIMIT_DATA, (struct rlimit *)bad)); TRY(getrlimit(RLIMIT_DATA, (struct rlimit *)bad)); TRY(getrlimit(-1, NULL));
  TRY(waitpid(-1, (int *)bad, 0)); TRY(flock(-1, LOCK_EX)); TRY(close(-1)); TRY(dup2(-1, 3)); TRY(dup2(1, -1)); TRY(dup3(1, 1, 0));
  puts("");
  close(s);
}

int main(void) {
  char directory[] = "/tmp/fieldbugs-XXXXXX";
  if (!mkdtemp(directory) || chdir(directory)) return 8;
  setvbuf(stdout, NULL, _IOLBF, 0);
  small(), points(), faults(), blocking(), often();
  unlink("fifo"), unlink("lock"), rmdir(directory);
}
