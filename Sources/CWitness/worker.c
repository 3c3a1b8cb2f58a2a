#define _GNU_SOURCE
#include "cwitness.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

int witness_worker_start(int32_t *child) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -1;
  pid_t parent = getpid();
  *child = fork();
  if (*child < 0) {
    int error = errno;
    close(ends[0]);
    close(ends[1]);
    return errno = error, -1;
  }
  if (*child > 0) {
    close(ends[1]);
    return ends[0];
  }
  // The terminal, pipes of the program that is watched, and the server's sockets are not this process's business.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  prctl(PR_SET_NAME, "bc-witness");
  dup2(ends[1], 0);
  close_range(1, ~0u, 0);
  return 0;
}

bool witness_worker_accept(int socket, struct witness_job *job, int *connection, char *text, size_t room, size_t *length) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec parts[] = {{job, sizeof *job}, {text, room}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t n;
  do n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < (ssize_t)sizeof *job) return false;
  *length = (size_t)n - sizeof *job;
  *connection = -1;
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) memcpy(connection, CMSG_DATA(c), sizeof *connection);
  return true;
}
