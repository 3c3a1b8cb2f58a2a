// Leaves calls that block, by cancellation and by a jump out of a handler, more often than there is room for what they would
// have obtained; then obtains all that there is room for.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listener, locked, other;
static sigjmp_buf back;
static __thread int leaves;

static void *blocks(void *how) {
  switch (*(const char *)how) {
    case 'a': accept(listener, NULL, NULL); break;
    case 'f': flock(other, LOCK_EX); break;
    case 'r': fcntl(other, F_OFD_SETLKW, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10}); break;
  }
  return puts("came back"), NULL;
}

static void jump(int n) { (void)n; if (leaves) siglongjmp(back, 1); }

// Locks are no cancellation points: those are left asynchronously.
static void *asynchronously(void *how) {
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
  return blocks(how);
}

static void *jumps(void *how) {
  leaves = 1;
  if (sigsetjmp(back, 1) == 0) blocks(how);
  leaves = 0;
  return NULL;
}

static void one(void *run(void *), const char *how, int jumping) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, run, (void *)how)) { puts("no thread"); return; }
  do { // until it blocks
    usleep(2000);
    if (jumping) pthread_kill(thread, SIGUSR1);
    else pthread_cancel(thread);
  } while (pthread_tryjoin_np(thread, NULL));
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  struct sigaction action = {.sa_handler = jump};
  sigaction(SIGUSR1, &action, NULL);
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t)) || listen(listener, 5)) return 9;
  locked = open(argv[1], O_RDWR | O_CREAT, 0600), other = open(argv[1], O_RDWR);
  if (flock(locked, LOCK_EX) || fcntl(locked, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET})) return 9;
  const char *ways[] = {"accept", "flock", "range"};
  for (int i = 0; i < 3; i++)
    for (int n = 0; n < 30; n++) one(i ? asynchronously : blocks, ways[i], 0), one(jumps, ways[i], 1);
  int sockets = 0, locks = 0;
  while (sockets < 100 && socket(AF_UNIX, SOCK_STREAM, 0) >= 0) sockets++;
  printf("sockets %d errno %d\n", sockets, errno);
  while (locks < 100) {
    int fd = open("/dev/null", O_RDONLY);
    if (fd < 0 || flock(fd, LOCK_SH)) break;
    locks++;
  }
  printf("locks %d errno %d\n", locks, errno);
}
