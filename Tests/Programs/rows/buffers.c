// Socket buffers: what a call comes to where their rows have a bound. A line for each, `name: ok` or the errno.
//   buffers local|udp|tcp BOUND
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int said(const char *name, int result) {
  printf("%s: %s\n", name, result < 0 ? strerrorname_np(errno) : "ok");
  return result;
}

static int sized(int fd, int name, int bytes) { return setsockopt(fd, SOL_SOCKET, name, &bytes, sizeof bytes); }

static void fill(int fd) {
  static char bytes[4096];
  fcntl(fd, F_SETFL, O_NONBLOCK);
  while (send(fd, bytes, sizeof bytes, 0) > 0) {}
  usleep(100000); // longer than a look counts for
}

static void drain(int fd) {
  static char bytes[65536];
  fcntl(fd, F_SETFL, O_NONBLOCK);
  for (int empty = 0; empty < 20;) {
    if (recv(fd, bytes, sizeof bytes, 0) > 0) empty = 0;
    else usleep(10000), empty++;
  }
}

static void bound_to(int fd, struct sockaddr_in *at) {
  socklen_t n = sizeof *at;
  *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  bind(fd, (struct sockaddr *)at, n);
  getsockname(fd, (struct sockaddr *)at, &n);
}

static void local(int bound) {
  int pair[2], more[2];
  said("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  said("as large as the bound", sized(pair[0], SO_SNDBUF, bound / 2));
  said("larger", sized(pair[0], SO_SNDBUF, bound / 2 + 1));
  said("receive", sized(pair[1], SO_RCVBUF, bound)); // what it receives is its sender's
  fill(pair[0]);
  said("full", socketpair(AF_UNIX, SOCK_STREAM, 0, more));
  said("full too", socket(AF_INET, SOCK_DGRAM, 0));
  said("another row", socket(AF_INET, SOCK_STREAM, 0));
  said("smaller", sized(pair[0], SO_SNDBUF, 4096));
  drain(pair[1]);
  said("drained", socketpair(AF_UNIX, SOCK_STREAM, 0, more));
  close(pair[0]);
  close(pair[1]);
}

static void udp(int bound) {
  struct sockaddr_in at;
  int in = said("socket", socket(AF_INET, SOCK_DGRAM, 0)), out = socket(AF_INET, SOCK_DGRAM, 0);
  said("as large as the bound", sized(in, SO_RCVBUF, bound / 2));
  said("larger", sized(in, SO_RCVBUF, bound / 2 + 1));
  bound_to(in, &at);
  connect(out, (struct sockaddr *)&at, sizeof at);
  // Small ones, so that they fill it to less than a new socket needs.
  for (int i = 0; i < 2000; i++) send(out, "", 1, MSG_DONTWAIT);
  usleep(100000);
  said("full", socket(AF_INET, SOCK_DGRAM, 0));
  said("another row", socket(AF_INET, SOCK_STREAM, 0));
  drain(in);
  said("drained", socket(AF_INET, SOCK_DGRAM, 0));
}

static void tcp(int bound) {
  struct sockaddr_in at;
  int listener = said("socket", socket(AF_INET, SOCK_STREAM, 0)), out = socket(AF_INET, SOCK_STREAM, 0);
  said("as large as the bound", sized(out, SO_RCVBUF, bound / 2));
  said("larger", sized(out, SO_RCVBUF, bound / 2 + 1));
  bound_to(listener, &at);
  listen(listener, 8);
  connect(out, (struct sockaddr *)&at, sizeof at);
  int in = said("accept", accept(listener, NULL, NULL));
  int late = socket(AF_INET, SOCK_STREAM, 0);
  connect(late, (struct sockaddr *)&at, sizeof at);
  fill(in); // received by out, which does not read
  said("full", socket(AF_INET, SOCK_STREAM, 0));
  said("accept", accept(listener, NULL, NULL));
  said("another row", socket(AF_UNIX, SOCK_STREAM, 0));
  drain(out);
  said("drained", socket(AF_INET, SOCK_STREAM, 0));
  said("accept", accept(listener, NULL, NULL));
}

int main(int count, char **word) {
  setvbuf(stdout, NULL, _IONBF, 0);
  int bound = count > 2 ? atoi(word[2]) : 0;
  if (strcmp(word[1], "local") == 0) local(bound);
  else if (strcmp(word[1], "udp") == 0) udp(bound);
  else tcp(bound);
  return 0;
}
