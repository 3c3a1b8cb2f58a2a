// A tree of processes doing random things with descriptors and tasks, killed and stopped at random: stress SEED STEPS
// Each process draws its own numbers from the seed and its place in the tree. Refusals are counted in shared memory, in
// the same step as the call that was refused. Prints, once the whole tree has ended:
//   seed S steps N kills N stops N refused FILES TASKS SOCKETS
// Exit 1 when a call failed in a way that no bound explains.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 40, CHILDREN = 3, DEPTH = 3 };
static struct { _Atomic long steps, kills, stops, files, tasks, sockets, broken; } *seen;

static uint64_t draw(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static void failed(const char *call) {
  switch (errno) {
    case ENFILE: seen->files++; return;
    case EAGAIN: seen->tasks++; return;
    case ENOBUFS: case ENOMEM: seen->sockets++; return;
    default: fprintf(stderr, "stress: %s: %s\n", call, strerror(errno)); seen->broken++;
  }
}

static void *thread(void *unused) { return usleep(200), unused; }

struct process { uint64_t state; int fds[MOST], count; pid_t children[CHILDREN]; int depth; };

static void keep(struct process *p, int fd) {
  if (p->count < MOST) p->fds[p->count++] = fd;
  else close(fd);
}

static void pass(struct process *p) { // a descriptor to itself, by SCM_RIGHTS
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) < 0) return failed("socketpair");
  union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = {0};
  char byte = 0;
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.header), &p->fds[draw(&p->state) % (uint64_t)p->count], sizeof(int));
  if (sendmsg(ends[0], &message, 0) < 0) failed("sendmsg");
  else if (recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC) >= 0) {
    int fd;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    keep(p, fd);
  }
  close(ends[0]);
  close(ends[1]);
}

static void run(struct process *p, int steps);

static void bear(struct process *p, int steps) {
  if (p->depth >= DEPTH) return;
  pid_t *place = &p->children[draw(&p->state) % CHILDREN];
  if (*place) { // there is one: it goes first
    kill(*place, SIGKILL);
    waitpid(*place, NULL, 0);
    *place = 0;
    seen->kills++;
  }
  uint64_t state = draw(&p->state);
  pid_t child = fork();
  if (child < 0) return failed("fork");
  if (child > 0) return *place = child, (void)0;
  prctl(PR_SET_PDEATHSIG, SIGKILL); // a killed process takes its tree along
  p->state = state;
  p->depth++;
  memset(p->children, 0, sizeof p->children);
  run(p, steps / 2);
  _exit(0);
}

static void step(struct process *p, int steps) {
  seen->steps++;
  int pair[2], fd;
  pthread_t t;
  pid_t child = p->children[draw(&p->state) % CHILDREN];
  switch (draw(&p->state) % 24) {
    case 0 ... 4:
      if ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0) failed("open");
      else keep(p, fd);
      break;
    case 5 ... 6:
      if (p->count) (fd = dup(p->fds[draw(&p->state) % (uint64_t)p->count])) < 0 ? failed("dup") : keep(p, fd);
      break;
    case 7 ... 12:
      if (p->count) {
        uint64_t i = draw(&p->state) % (uint64_t)p->count;
        close(p->fds[i]);
        p->fds[i] = p->fds[--p->count];
      }
      break;
    case 13 ... 14:
      if (pipe2(pair, O_CLOEXEC) < 0) failed("pipe2");
      else keep(p, pair[0]), keep(p, pair[1]);
      break;
    case 15:
      if ((fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0) failed("socket");
      else keep(p, fd);
      break;
    case 16: if (p->count) pass(p); break;
    case 17:
      if ((errno = pthread_create(&t, NULL, thread, NULL))) failed("pthread_create");
      else pthread_join(t, NULL);
      break;
    case 18 ... 19: bear(p, steps); break;
    case 20:
      if (child) kill(child, SIGSTOP), usleep(100), kill(child, SIGCONT), seen->stops++;
      break;
    case 21:
      if (child && draw(&p->state) % 2) kill(child, SIGSTOP), seen->stops++; // and stays so, until it is killed
      break;
    case 22: {
      void *memory = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory != MAP_FAILED) munmap(memory, 1 << 16);
      break;
    }
    default: usleep((useconds_t)(draw(&p->state) % 300)); break;
  }
}

static void run(struct process *p, int steps) {
  for (int i = 0; i < steps; i++) step(p, steps);
  for (int i = 0; i < CHILDREN; i++)
    if (p->children[i]) {
      kill(p->children[i], SIGKILL);
      waitpid(p->children[i], NULL, 0);
      seen->kills++;
    }
}

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "stress: give SEED STEPS\n"), 2;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct process root = {.state = strtoull(argv[1], NULL, 10)};
  run(&root, atoi(argv[2]));
  for (int i = 0; i < root.count; i++) close(root.fds[i]);
  // What lost its parent before it could ask to go with it is ours now (subreaper), perhaps stopped.
  for (;;) {
    char path[64], text[65536] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    FILE *children = fopen(path, "r");
    if (children && fgets(text, sizeof text, children))
      for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) kill(atoi(word), SIGKILL);
    if (children) fclose(children);
    if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD) break;
  }
  printf("seed %s steps %ld kills %ld stops %ld refused %ld %ld %ld\n", argv[1], seen->steps, seen->kills, seen->stops,
         seen->files, seen->tasks, seen->sockets);
  return seen->broken != 0;
}
