// Which numbers descriptors have, in every state that a program can bring itself into.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

static int out; // where the output goes, whatever becomes of 1

// /proc/self/fd, but for what the listing itself needs.
static void list(const char *when) {
  char line[8000];
  int n = snprintf(line, sizeof line, "%s:", when);
  for (int fd = 0; fd < 4096; fd++) {
    char name[32], target[200];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, target, sizeof target - 1);
    if (length < 0) continue;
    target[length] = 0;
    if (strncmp(target, "/dev/", 5)) strcpy(target, strchr(target, ':') ? "other" : "file");
    if (n < 7000) n += snprintf(line + n, sizeof line - n, " %d=%s", fd, target);
  }
  n += snprintf(line + n, sizeof line - n, "\n");
  if (write(out, line, n) != n) _exit(9);
}

static void next(const char *when) {
  int fd = open("/dev/null", O_RDONLY), s = socket(AF_UNIX, SOCK_STREAM, 0), p[2] = {-1, -1}, error = pipe(p);
  dprintf(out, "%s: open %d socket %d pipe %d %d %d\n", when, fd, s, error, p[0], p[1]);
  close(fd), close(s), close(p[0]), close(p[1]);
}

static int child(void (*run)(void)) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) run(), _exit(0);
  int status;
  waitpid(pid, &status, 0);
  return status;
}

static void close_each(void) { for (int i = 3; i < 65536; i++) if (i != out) close(i); list("close each"); next("close each"); }
static void range_all(void) { close_range(3, out - 1, 0), close_range(out + 1, ~0u, 0), list("range"), next("range"); }
static void range_cloexec(void) {
  int fd = open("/dev/null", O_RDONLY);
  close_range(3, out - 1, CLOSE_RANGE_CLOEXEC);
  dprintf(out, "cloexec %d\n", fcntl(fd, F_GETFD));
  next("range cloexec");
  close_range(3, out - 1, CLOSE_RANGE_UNSHARE);
  next("range unshare");
  dprintf(out, "wrong %d %d\n", close_range(9, 3, 0), errno);
}
static void from(void) { for (int n = 60; n >= 3; n -= 3) dup2(out, 1), out = 1, closefrom(n), next("closefrom"); closefrom(-1); }
static void over_all(void) {
  for (int i = 3; i < 1024; i++)
    if (i != out && dup2(0, i) != i) dprintf(out, "dup2 %d errno %d\n", i, errno);
  next("dup2 over all");
  for (int i = 3; i < 1024; i += 2) if (i != out) close(i);
  next("every second closed");
}
static void full(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  for (int n = 3; n <= 12; n++) {
    dup2(out, 1), out = 1;
    closefrom(3);
    limit.rlim_cur = n;
    setrlimit(RLIMIT_NOFILE, &limit);
    int made = 0, fd, error;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0 && made < 100) made++;
    error = errno;
    void *block = malloc(100 << 20);
    pid_t pid = fork();
    if (pid == 0) _exit(open("/dev/null", O_RDONLY) < 0 ? errno : 0);
    int status = 0, p[2], pipe_error = pipe(p) ? errno : 0, s = socket(AF_UNIX, SOCK_STREAM, 0);
    int socket_error = s < 0 ? errno : 0;
    waitpid(pid, &status, 0);
    FILE *f = fopen("/dev/null", "r");
    dprintf(out, "of %d made %d errno %d block %d child %d pipe %d socket %d fopen %d errno %d\n", n, made, error, block != NULL,
            WEXITSTATUS(status), pipe_error, socket_error, f != NULL, errno);
    free(block);
    closefrom(3);
  }
}
static void lowest(void) {
  close(0);
  int got = open("/dev/null", O_RDONLY), after;
  dprintf(out, "lowest %d\n", got);
  pid_t pid = fork();
  if (pid == 0) close(0), _exit(open("/dev/null", O_RDONLY));
  waitpid(pid, &after, 0);
  dprintf(out, "after fork %d\n", WEXITSTATUS(after));
  for (int i = 0; i < 3; i++) if (i != out) close(i);
  got = socket(AF_INET, SOCK_STREAM, 0), after = dup(got);
  dprintf(out, "none of the three: %d %d\n", got, after);
}
static void retained(void) {
  list("before libc's own");
  openlog("x", LOG_NDELAY, LOG_USER), syslog(LOG_DEBUG, "x"), closelog();
  getpwnam("root"), setpwent(), getpwent(), endpwent();
  struct addrinfo *info = NULL;
  if (getaddrinfo("localhost", "80", NULL, &info) == 0) freeaddrinfo(info);
  sysconf(_SC_NPROCESSORS_ONLN);
  list("after libc's own");
  next("after libc's own");
}
static void streams(void) {
  FILE *f = fopen("/dev/null", "r"), *t = tmpfile();
  DIR *d = opendir("/");
  dprintf(out, "streams %d %d %d\n", fileno(f), fileno(t), dirfd(d));
  f = freopen("/dev/zero", "r", f);
  dprintf(out, "reopened %d\n", fileno(f));
  fclose(f), fclose(t), closedir(d);
  FILE *p = popen("echo from a shell; ls /proc/self/fd | wc -l", "r");
  char text[100];
  while (fgets(text, sizeof text, p)) dprintf(out, "%s", text);
  dprintf(out, "pclose %d\n", pclose(p));
  if (!freopen("/dev/null", "r", stdin)) _exit(8);
  dprintf(out, "stdin %d\n", fileno(stdin));
  f = fopen("/dev/null", "r");
  close(fileno(f));
  int got = open("/dev/null", O_RDONLY);
  dprintf(out, "fclose of a number that another has %d %d\n", got, fclose(f));
  fcloseall();
  next("fcloseall");
}

int main(int argc, char **argv) {
  if (argc > 1) { // after exec, with some standard descriptors closed
    out = atoi(argv[1]);
    int fd = open("/dev/null", O_RDONLY);
    dprintf(out, "after exec %d\n", fd);
    list("after exec");
    return 0;
  }
  out = dup2(1, 1000);
  list("start"), next("start");
  void (*each[])(void) = {close_each, range_all, range_cloexec, from, over_all, full, lowest, retained, streams};
  for (size_t i = 0; i < sizeof each / sizeof *each; i++) dprintf(1, "%zu ended %x\n", i, child(each[i]));
  for (int closed = 0; closed < 8; closed++) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
      for (int i = 0; i < 3; i++) if (closed >> i & 1) close(i);
      execl("/proc/self/exe", argv[0], "1000", NULL);
      _exit(99);
    }
    waitpid(pid, &status, 0);
    dprintf(1, "closed %d ended %x\n", closed, status);
  }
  fd_set set;
  FD_ZERO(&set);
  int p[2];
  if (pipe(p)) return 8;
  dprintf(1, "below FD_SETSIZE %d\n", p[1] < FD_SETSIZE);
}
