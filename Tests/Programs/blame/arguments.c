// Asks once for each kind of thing, where nothing may be had: a denial each.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void *on_thread(void *given) {
  (void)given;
  pthread_setname_np(pthread_self(), "second");
  open("/etc/services", O_RDONLY);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "thread")) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, on_thread, NULL)) return 1;
    return pthread_join(thread, NULL);
  }
  if (argc > 1 && !strcmp(argv[1], "memory")) {
    void *volatile p = malloc(1 << 30);
    p = mmap((void *)0x10000000, 1 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *one = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p = mremap(one, 4096, 1 << 30, MREMAP_MAYMOVE);
    p = sbrk(1 << 30);
    return 0;
  }
  static char locked[8192];
  union sigval value = {0};
  timer_t timer;
  int pair[2];
  int file = open("/etc/passwd", O_RDONLY), memory = memfd_create("segment", 0);
  struct flock range = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20};
  socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socket(AF_INET6, SOCK_DGRAM, 0);
  socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
  flock(file, LOCK_EX | LOCK_NB);
  fcntl(file, F_SETLK, &range);
  shmget(IPC_PRIVATE, 40960, IPC_CREAT | 0600);
  if (ftruncate(memory, 40960)) {}
  mlock(locked, 100);
  mmap(NULL, 40960, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  signal(SIGUSR1, SIG_IGN);
  sigqueue(getpid(), SIGUSR1, value);
  timer_create(CLOCK_MONOTONIC, NULL, &timer);
  if (system("exit 3")) {}
  return 0;
}
