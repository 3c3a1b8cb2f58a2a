#include "clinux.h"

ssize_t clinux_send(int socket, const void *bytes, size_t size, int fd) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {(void *)bytes, size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int clinux_listen(const char *path, bool abstract) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t n = strlen(path);
  if (n >= sizeof address.sun_path) return errno = ENAMETOOLONG, -1;
  memcpy(address.sun_path, path, n + 1);
  if (abstract) address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (abstract ? 0 : 1));
  if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 4096) < 0) {
    int error = errno;
    close(fd);
    return errno = error, -1;
  }
  return fd;
}

void clinux_die_of(int number) {
  struct rlimit no_core = {0, 0};
  sigset_t one;
  setrlimit(RLIMIT_CORE, &no_core);
  signal(number, SIG_DFL);
  sigemptyset(&one);
  sigaddset(&one, number);
  kill(getpid(), number);
  sigprocmask(SIG_UNBLOCK, &one, NULL);
  _exit(128 + number);
}

int clinux_connect(const char *path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  size_t n = strlen(path);
  if (n >= sizeof to.sun_path) return errno = ENAMETOOLONG, -1;
  memcpy(to.sun_path, path, n + 1);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
    int error = errno;
    close(fd);
    return errno = error, -1;
  }
  return fd;
}

bool clinux_notify(const char *text) {
  const char *name = getenv("NOTIFY_SOCKET");
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  size_t n = name ? strlen(name) : 0;
  if (n < 2 || n >= sizeof to.sun_path || (name[0] != '/' && name[0] != '@')) return false;
  memcpy(to.sun_path, name, n);
  if (name[0] == '@') to.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
  bool sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to, size) >= 0;
  close(fd);
  return sent;
}

pid_t clinux_wait(pid_t child, int *status, int options, long *peak) {
  struct rusage used;
  pid_t found = wait4(child, status, options, &used);
  if (found > 0) *peak = used.ru_maxrss;
  return found;
}
