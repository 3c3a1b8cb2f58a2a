// Clients that misbehave with their connections:  connections SERVER silent|half|deaf|shrink N [TOKEN]
//   silent  N connections that say nothing, held until the standard input ends
//   half    N messages of every length below a whole one
//   deaf    N followers of the events that never read one, held until the standard input ends
//   shrink  N members that try to take their page away from under the server
// Prints what came of it; exit 1 when the server can be made to do what it must not.
#include "hostile.h"

#include <sys/resource.h>

static void hold(void) {
  char byte;
  fflush(stdout);
  while (read(0, &byte, 1) > 0) {}
}

static int page_of(const char *server, const char *hex) {
  struct bc_request r = {.magic = BC_WIRE_MAGIC, .kind = BC_JOIN, .thread = getpid(), .parent = getppid()};
  read_token(hex, r.token);
  int fd = connected(server), page = -1;
  struct bc_answer answer;
  union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = {0};
  struct iovec part = {&answer, sizeof answer};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  if (send(fd, &r, sizeof r, MSG_NOSIGNAL) == (ssize_t)sizeof r && recvmsg(fd, &message, MSG_CMSG_CLOEXEC) > 0 && CMSG_FIRSTHDR(&message))
    memcpy(&page, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof page);
  close(fd);
  return page;
}

static int shrink(const char *server, const char *hex, int n) {
  int refused = 0;
  for (int i = 0; i < n; i++) {
    int page = page_of(server, hex);
    if (page < 0) return fprintf(stderr, "shrink: no page came\n"), 1;
    bool smaller = ftruncate(page, 0) == 0, larger = ftruncate(page, 1 << 24) == 0;
    bool sealed = fcntl(page, F_ADD_SEALS, F_SEAL_WRITE) == 0;
    if (smaller || larger || sealed) return fprintf(stderr, "shrink: it could be done\n"), 1;
    refused++;
    fallocate(page, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BC_MEMFD_SIZE); // gives zeros, not SIGBUS
    close(page);
  }
  return printf("shrink %d refused %d\n", n, refused), 0;
}

int main(int argc, char **argv) {
  if (argc < 4) return fprintf(stderr, "connections SERVER silent|half|deaf|shrink N [TOKEN]\n"), 2;
  const char *server = argv[1];
  int n = atoi(argv[3]);
  signal(SIGPIPE, SIG_IGN);
  if (!strcmp(argv[2], "shrink")) return argc == 5 ? shrink(server, argv[4], n) : 2;
  if (!strcmp(argv[2], "half")) {
    char room[sizeof(struct bc_request)] = {0}, answer[64];
    struct bc_request r = {.magic = BC_WIRE_MAGIC, .kind = BC_JOIN};
    memcpy(room, &r, sizeof room);
    for (int i = 0; i < n; i++) {
      int fd = connected(server);
      if (send(fd, room, 1 + (size_t)i % (sizeof room - 1), MSG_NOSIGNAL) < 0) give_up("send");
      if (answer_of(fd, answer, sizeof answer, 20000) == -2) return fprintf(stderr, "half: no hang-up\n"), 1;
      close(fd);
    }
    return printf("half %d hung up on\n", n), 0;
  }
  struct rlimit most;
  getrlimit(RLIMIT_NOFILE, &most);
  most.rlim_cur = most.rlim_max;
  setrlimit(RLIMIT_NOFILE, &most);
  static const char follow[] = "bcctl/1\0events-follow";
  for (int i = 0; i < n; i++) {
    int fd = connected(server);
    if (!strcmp(argv[2], "deaf") && send(fd, follow, sizeof follow - 1, MSG_NOSIGNAL) < 0) give_up("send");
  }
  printf("%s %d connected\n", argv[2], n);
  hold();
  return 0;
}
