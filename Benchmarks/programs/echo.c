// The least that a server can do for a question: echo PATH [CPU]. Like bcd it waits with epoll on a SOCK_SEQPACKET socket, takes
// a connection, reads one message from it, answers with as many bytes as bcd's answers have, and closes. No books are kept.
#define _GNU_SOURCE
#include "wire.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int epoll;

static void add(int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) perror("echo: epoll_ctl"), exit(1);
}

static int answered(int fd) { // 0 when the question has not come yet
  static char question[65536];
  struct bc_answer answer = {.magic = BC_WIRE_MAGIC};
  ssize_t n = recv(fd, question, sizeof question, MSG_TRUNC);
  if (n < 0) return 0;
  if (n == (ssize_t)sizeof(struct bc_request)) send(fd, &answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT);
  close(fd);
  return 1;
}

int main(int count, char **word) {
  if (count < 2) return fprintf(stderr, "echo: give PATH\n"), 2;
  if (count > 2) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(atoi(word[2]), &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  strncpy(at.sun_path, word[1], sizeof at.sun_path - 1);
  int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 4096) < 0) return perror(word[1]), 1;
  epoll = epoll_create1(EPOLL_CLOEXEC);
  add(listener);
  for (;;) {
    struct epoll_event events[64];
    int n = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd != listener) {
        answered(fd);
        continue;
      }
      fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd >= 0 && !answered(fd)) add(fd);
    }
  }
}
