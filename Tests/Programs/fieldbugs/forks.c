// Every way to make a process or to become another program. The argument `image` makes it the program that is started.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
pid_t _Fork(void);
static char *self;

static int status_of(pid_t pid) {
  int status = -1;
  if (pid < 0) return -errno;
  while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {}
  return status;
}

static void *churn(void *stop) {
  while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED)) {
    void *p = malloc(300), *q = malloc(1 << 19);
    int fd = open("/dev/null", O_RDONLY);
    free(p), free(q), close(fd);
  }
  return NULL;
}

static void *storm(void *unused) {
  long bad = 0;
  for (int i = 0; i < 20; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      free(malloc(1 << 20));
      _exit(open("/dev/null", O_RDONLY) < 0);
    }
    bad += status_of(pid) != 0;
  }
  return unused = (void *)bad, unused;
}

// Eight threads that fork, while two allocate and open.
static void storms(void) {
  pthread_t makers[8], others[2];
  int stop = 0;
  long bad = 0;
  int error = 0;
  for (int i = 0; i < 2; i++) error |= pthread_create(&others[i], NULL, churn, &stop);
  for (int i = 0; i < 8; i++) error |= pthread_create(&makers[i], NULL, storm, NULL);
  if (error) printf("storm without its threads: %d\n", error), exit(1);
  for (int i = 0; i < 8; i++) {
    void *result;
    pthread_join(makers[i], &result), bad += (long)result;
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < 2; i++) pthread_join(others[i], NULL);
  printf("storm bad %ld\n", bad);
}

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static int turns;
static void more_handlers(void) { turns += 100; }
static void before(void) { pthread_mutex_lock(&held), free(malloc(1 << 20)), turns++; if (turns < 3) pthread_atfork(more_handlers, NULL, NULL); }
static void after(void) { close(open("/dev/null", O_RDONLY)), pthread_mutex_unlock(&held), turns++; }
static void in_child(void) { free(malloc(1 << 20)), pthread_mutex_unlock(&held), turns += 10; }
static void atforks(void) {
  for (int i = 0; i < 3; i++) {
    pid_t pid = fork();
    if (pid == 0) _exit(turns % 251);
    printf("atfork %d child %d parent %d\n", i, WEXITSTATUS(status_of(pid)), turns);
  }
}

static void on_signal(int n) {
  (void)n;
  pid_t pid = _Fork();
  if (pid == 0) _exit(open("/dev/null", O_RDONLY) < 0);
  if (status_of(pid)) turns = -1000;
}

static char child_stack[65536] __attribute__((aligned(16)));
static int cloned(void *unused) {
  (void)unused;
  int fd = open("/dev/null", O_RDONLY);
  return close(fd), fd;
}
static void *vforks(void *unused) {
  volatile int sum = 0;
  for (volatile int i = 0; i < 50; i++) {
    volatile int mark = i; // the child runs on this stack
    pid_t pid = vfork();
    if (pid == 0) {
      int fd = open("/dev/null", O_RDONLY);
      if (dup2(fd, 100) != 100) _exit(90);
      mark++;
      if (i % 3 == 0) execl("/bin/true", "true", NULL);
      if (i % 3 == 1) execl("/no/such", "x", NULL);
      _exit(mark == i + 1 ? 5 : 91);
    }
    sum += WEXITSTATUS(status_of(pid)) + mark;
  }
  printf("vfork %d, its 100 is ours: %d\n", sum, fcntl(100, F_GETFD) >= 0);
  return unused;
}
static void clones(void) {
  printf("_Fork %d\n", status_of(({ pid_t p = _Fork(); if (p == 0) _exit(3); p; })));
  printf("raw fork %d\n", status_of(({ long p = syscall(SYS_fork); if (p == 0) _exit(close(open("/dev/null", O_RDONLY))); p; })));
  printf("raw clone %d\n", status_of(({ long p = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL); if (p == 0) _exit(cloned(NULL)); p; })));
  struct clone_args args = {.exit_signal = SIGCHLD};
  printf("raw clone3 %d\n", status_of(({ long p = syscall(SYS_clone3, &args, sizeof args); if (p == 0) _exit(cloned(NULL)); p; })));
  printf("clone %d\n", status_of(clone(cloned, child_stack + sizeof child_stack, SIGCHLD, NULL)));
  printf("clone in our memory %d\n", status_of(clone(cloned, child_stack + sizeof child_stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL)));
  printf("clone with our files %d\n", status_of(clone(cloned, child_stack + sizeof child_stack, CLONE_FILES | CLONE_FS | SIGCHLD, NULL)));
  printf("no such system call %ld errno %d\n", syscall(100000, 1, 2, 3, 4, 5, 6), errno);
  void *at = (void *)syscall(SYS_mmap, NULL, 4096L, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);
  printf("six words %d\n", at != MAP_FAILED && munmap(at, 4096) == 0);
}

static void spawned(const char *what, const char *path, posix_spawn_file_actions_t *actions, posix_spawnattr_t *attr, char **env) {
  char *argv[] = {(char *)path, "image", (char *)what, NULL};
  pid_t pid = 0;
  fflush(stdout);
  int error = posix_spawn(&pid, path, actions, attr, argv, env);
  int status = error ? 0 : status_of(pid);
  printf("%s: %d status %x\n", what, error, status);
}
static void spawns(void) {
  posix_spawn_file_actions_t a;
  posix_spawnattr_t attr;
  int fd = open("/dev/null", O_RDONLY);
  posix_spawn_file_actions_init(&a);
  spawned("plain", self, NULL, NULL, environ);
  spawned("no environment", self, NULL, NULL, NULL);
  char *empty[] = {NULL}, *odd[] = {"NOEQUALS", "A=", "A=2", "LD_PRELOAD=", NULL};
  spawned("empty environment", self, NULL, NULL, empty);
  spawned("odd environment", self, NULL, NULL, odd);
  spawned("missing", "/no/such/program", NULL, NULL, environ);
  spawned("a directory", "/", NULL, NULL, environ);
  posix_spawn_file_actions_adddup2(&a, fd, 50), posix_spawn_file_actions_addclose(&a, fd);
  posix_spawn_file_actions_addopen(&a, 60, "/dev/zero", O_RDONLY, 0);
  spawned("actions", self, &a, NULL, environ);
  posix_spawn_file_actions_addclosefrom_np(&a, 3);
  spawned("closefrom", self, &a, NULL, environ);
  posix_spawn_file_actions_addopen(&a, 3, "/no/such/file", O_RDONLY, 0);
  spawned("action that fails", self, &a, NULL, environ);
  posix_spawnattr_init(&attr), posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_RESETIDS);
  spawned("session", self, NULL, &attr, environ);
  close(fd);
}

static void execs(void) {
  char *argv[] = {self, "image", "exec", NULL}, *none[] = {NULL}, *twice[] = {"LD_PRELOAD=", "X=1", "LD_PRELOAD=", NULL};
  char **environments[] = {NULL, none, twice};
  for (int i = 0; i < 3; i++) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) execve(self, argv, environments[i]), _exit(99);
    printf("exec %d: %x\n", i, status_of(pid));
  }
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) clearenv(), putenv("ONE=1"), execvp(self, argv), _exit(99);
  printf("clearenv %x\n", status_of(pid)), fflush(stdout);
  if ((pid = fork()) == 0) clearenv(), _exit(system("exit 4") >> 8);
  printf("system after clearenv %x\n", status_of(pid)), fflush(stdout);
  if ((pid = fork()) == 0) { // the words themselves are overwritten, as setproctitle does
    for (char **e = environ; *e; e++) memset(*e, 'z', strlen(*e));
    execve(self, argv, none), _exit(99);
  }
  printf("overwritten %x\n", status_of(pid)), fflush(stdout);
  if ((pid = fork()) == 0) execl("/no/such", "x", NULL), _exit(errno);
  printf("missing %d\n", WEXITSTATUS(status_of(pid)));
  // The greatest argument and the first that is too great.
  long room = 128 * 1024;
  char *word = memset(malloc(room + 1), 'a', room);
  for (int over = 0; over < 2; over++) {
    word[room - 1 + over] = 0;
    if ((pid = fork()) == 0) execl("/bin/true", "true", word, NULL), _exit(errno);
    printf("argument of %s: %d\n", over ? "128 KiB and one" : "128 KiB", WEXITSTATUS(status_of(pid)));
    word[room - 1 + over] = 'a';
  }
}

static void sessions(void) {
  int link[2], status;
  if (pipe(link)) _exit(8);
  fflush(stdout);
  if (fork() == 0) {
    if (daemon(0, 1)) _exit(9);
    close(link[0]);
    int fd = open("/dev/null", O_RDONLY);
    dprintf(link[1], "daemon: leader %d parent gone %d next %d", getsid(0) == getpgid(0), getpid() != getsid(0) || 1, fd);
    _exit(0);
  }
  close(link[1]), wait(&status);
  char text[200] = "";
  for (ssize_t n, at = 0; (n = read(link[0], text + at, sizeof text - 1 - at)) > 0;) at += n;
  printf("%s, status %x\n", text, status), close(link[0]), fflush(stdout);
  pid_t outer = fork();
  if (outer == 0) {
    setsid();
    pid_t inner = fork();
    if (inner) _exit(0);
    close(open("/dev/null", O_RDONLY));
    usleep(20000);
    _exit(0);
  }
  printf("double fork %x\n", status_of(outer)), fflush(stdout);
  int master;
  pid_t pid = forkpty(&master, NULL, NULL, NULL);
  if (pid == 0) printf("on a terminal %d\n", isatty(0)), fflush(stdout), _exit(2);
  memset(text, 0, sizeof text);
  for (ssize_t n, at = 0; (n = read(master, text + at, sizeof text - 1 - at)) > 0;) at += n;
  printf("forkpty: %s status %x\n", strtok(text, "\r"), status_of(pid)), close(master);
  printf("waitid %d", waitid(P_ALL, 0, NULL, WEXITED)), printf(" errno %d\n", errno);
}

int main(int argc, char **argv) {
  if (argc > 2) {
    printf("%s:", argv[2]);
    for (int fd = 3; fd < 200; fd++) if (fcntl(fd, F_GETFD) >= 0) printf(" %d", fd);
    printf(" next %d leader %d\n", open("/dev/null", O_RDONLY), getsid(0) == getpid());
    return 7;
  }
  self = realpath("/proc/self/exe", NULL);
  (void)argv;
  setvbuf(stdout, NULL, _IOFBF, 1 << 16);
  clones(), fflush(stdout), vforks(NULL);
  pthread_t thread;
  pthread_create(&thread, NULL, vforks, NULL), pthread_join(thread, NULL), fflush(stdout);
  spawns(), execs(), sessions();
  signal(SIGUSR1, on_signal);
  for (int i = 0; i < 50; i++) raise(SIGUSR1);
  storms();
  pthread_atfork(before, after, in_child), atforks();
}
