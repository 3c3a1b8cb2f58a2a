// Brings itself where no socket to the server can be had, then obtains until it is refused, in a child too. First argument: the
// way there; second: a directory that is empty.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const int sockets[] = {SYS_socket, SYS_connect, SYS_sendto, SYS_sendmsg, SYS_recvmsg, SYS_getsockopt, SYS_gettid, SYS_sched_yield};
// As sandboxes have it: what is not named kills.
static const int needed[] = {
    SYS_read, SYS_write, SYS_openat, SYS_close, SYS_mmap, SYS_munmap, SYS_brk, SYS_mremap, SYS_mprotect, SYS_exit_group, SYS_exit,
    SYS_newfstatat, SYS_fstat, SYS_clone, SYS_wait4, SYS_set_robust_list, SYS_rseq, SYS_rt_sigreturn, SYS_futex, SYS_rt_sigprocmask,
};

static void filter(const int *numbers, size_t n, unsigned on_these, unsigned otherwise) {
  struct sock_filter code[200] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  size_t at = 1;
  for (size_t i = 0; i < n; i++) {
    struct sock_filter two[] = {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)numbers[i], 0, 1), BPF_STMT(BPF_RET | BPF_K, on_these)};
    code[at++] = two[0], code[at++] = two[1];
  }
  code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise);
  struct sock_fprog program = {.len = (unsigned short)at, .filter = code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) _exit(91);
}

// By hand, for printf asks for more than some filters allow.
static void say(const char *what, long n) {
  char line[100], digits[20];
  int at = 0, d = 0;
  while (*what) line[at++] = *what++;
  line[at++] = ' ';
  do digits[d++] = (char)('0' + n % 10);
  while (n /= 10);
  while (d) line[at++] = digits[--d];
  line[at++] = '\n';
  if (write(1, line, at) != at) _exit(9);
}

static int fds[4096];
static int open_all(int most) {
  int made = 0;
  while (made < most && (fds[made] = open("/", O_RDONLY)) >= 0) made++;
  return made;
}

static int forks(int most) {
  int made = 0, error = 0;
  while (made < most) {
    pid_t child = fork();
    if (child < 0) { error = errno; break; }
    if (child == 0) for (;;) pause();
    fds[made++] = child;
  }
  for (int i = 0; i < made; i++) kill(fds[i], SIGKILL);
  for (int i = 0; i < made; i++) waitpid(fds[i], NULL, 0);
  say("forks", made), say("forks errno", error);
  return made;
}

static void memory(const char *what, const char *why, int most) {
  int made = 0, error = 0;
  static void *blocks[4096];
  while (made < most && (blocks[made] = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED) made++;
  if (made < most) error = errno;
  say(what, made), say(why, error);
  for (int i = 0; i < made; i++) munmap(blocks[i], 1 << 20);
}

// All that there is: 25 here, the rest in a child, and then none anywhere.
static void files(void) {
  int here = open_all(25), error, status;
  say("files", here);
  pid_t child = fork();
  if (child == 0) {
    int there = open_all(4000);
    error = errno;
    say("child's files", there), say("child's errno", error);
    memory("child's memory", "child's memory errno", 4000);
    for (int i = 0; i < there; i++) close(fds[i]);
    _exit(7);
  }
  waitpid(child, &status, 0);
  say("child ended", status >> 8);
  for (int i = 0; i < here; i++) close(fds[i]);
  here = open_all(4000), error = errno;
  say("files alone", here), say("errno", error);
  for (int i = 0; i < here; i++) close(fds[i]);
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  if (!strcmp(how, "filter")) filter(sockets, sizeof sockets / sizeof(int), SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW);
  else if (!strcmp(how, "sandbox")) filter(needed, sizeof needed / sizeof(int), SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS);
  else if (!strcmp(how, "far")) {
    if (unshare(CLONE_NEWNET) || chroot(argv[2]) || chdir("/")) return 92;
  } else if (!strcmp(how, "raw")) {
    if (syscall(SYS_unshare, CLONE_NEWNET) || syscall(SYS_chroot, argv[2]) || chdir("/")) return 92;
  } else if (!strcmp(how, "full")) {
    struct rlimit limit = {20, 20};
    if (setrlimit(RLIMIT_NOFILE, &limit)) return 92;
    int made = open_all(100);
    say("full", made), say("full errno", errno);
  } else if (strcmp(how, "none")) return 93;
  if (!strcmp(how, "full")) {
    int held[20];
    memcpy(held, fds, sizeof held);
    memory("memory", "memory errno", 4000), forks(100);
    for (int i = 0; i < 17; i++) close(held[i]);
    return 4;
  }
  files();
  memory("memory", "memory errno", 4000);
  if (strcmp(how, "sandbox")) forks(100);
  return 4;
}
