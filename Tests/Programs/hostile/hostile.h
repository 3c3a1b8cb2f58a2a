// What the hostile programs share: chance from a seed, a connection to a server, and the words of a membership.
#ifndef HOSTILE_H
#define HOSTILE_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../../Sources/Wire/include/wire.h"

// SplitMix64 (Steele, Lea, Flood 2014).
static inline uint64_t draw(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

__attribute__((noreturn)) static inline void give_up(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(2);
}

// The backlog of the server may be full, as for everybody; that passes.
static inline int connected(const char *path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strncpy(to.sun_path, path, sizeof to.sun_path - 1);
  for (;;) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) give_up("socket");
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    if (errno != EAGAIN && errno != EINTR) give_up("connect");
    close(fd);
    usleep(1000);
  }
}

static inline void read_token(const char *hex, uint64_t token[2]) {
  char half[17] = "";
  for (int i = 0; i < 2; i++) token[i] = strtoull(memcpy(half, hex + 16 * i, 16), NULL, 16);
}

static inline double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Waits for an answer of any size; −1 when the other end hung up, −2 when nothing came within the time.
static inline ssize_t answer_of(int fd, void *room, size_t size, int milliseconds) {
  struct pollfd one = {.fd = fd, .events = POLLIN};
  if (poll(&one, 1, milliseconds) != 1) return -2;
  return recv(fd, room, size, 0) > 0 ? 1 : -1;
}
#endif
