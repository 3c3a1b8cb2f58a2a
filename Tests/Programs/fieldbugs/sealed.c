// A filter of system calls that kills, or answers EPERM, on what the program itself no longer does. Then it allocates beyond any
// lease, opens many files, forks, starts a program, and ends. The argument says which filter.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORBID(number, action) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, action)

static const int none_of_sockets[] = {SYS_socket, SYS_connect, SYS_sendto, SYS_sendmsg, SYS_recvmsg};
static const int some_others[] = {SYS_connect, SYS_sendmsg, SYS_recvmsg, SYS_gettid, SYS_sched_yield, SYS_getsockopt, SYS_lseek};

// Everything but what is named is killed: as sshd and systemd's units have it.
static const int allowed[] = {
    SYS_read, SYS_write, SYS_openat, SYS_close, SYS_mmap, SYS_munmap, SYS_brk, SYS_mremap, SYS_mprotect, SYS_exit_group, SYS_exit,
    SYS_newfstatat, SYS_fstat, SYS_clone, SYS_clone3, SYS_wait4, SYS_set_robust_list, SYS_rseq, SYS_pipe2, SYS_dup, SYS_dup2,
    SYS_rt_sigreturn, SYS_flock, SYS_futex, SYS_getrandom,
};

static void seal(const int *numbers, size_t n, unsigned on_these, unsigned otherwise, int by_syscall) {
  struct sock_filter filter[200] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  size_t at = 1;
  for (size_t i = 0; i < n; i++) {
    struct sock_filter two[] = {FORBID((unsigned)numbers[i], on_these)};
    filter[at++] = two[0], filter[at++] = two[1];
  }
  filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise);
  struct sock_fprog program = {.len = (unsigned short)at, .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) _exit(90);
  long error = by_syscall ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program)
                          : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
  if (error) _exit(91);
}

static char text[400];
static int length;
static void say(const char *what, int n) {
  for (; *what; what++) text[length++] = *what;
  text[length++] = ' ';
  if (n < 0) text[length++] = '-', n = -n;
  for (int digit = 1000; digit; digit /= 10) text[length++] = (char)('0' + n / digit % 10);
  text[length++] = '\n';
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  unsigned refuse = SECCOMP_RET_ERRNO | EPERM;
  int fds[300], made = 0, runs = 0;
  if (argc > 2) { // the program that is started under the filter of another
    how = "inherited";
  } else if (!strcmp(how, "kill")) {
    seal(none_of_sockets, sizeof none_of_sockets / sizeof(int), SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW, 0), runs = 1;
  } else if (!strcmp(how, "others")) {
    seal(some_others, sizeof some_others / sizeof(int), SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW, 1), runs = 1;
  } else if (!strcmp(how, "errno")) {
    seal(none_of_sockets, sizeof none_of_sockets / sizeof(int), refuse, SECCOMP_RET_ALLOW, 1), runs = 1;
  } else if (!strcmp(how, "only")) {
    seal(allowed, sizeof allowed / sizeof(int), SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, 0);
  } else if (!strcmp(how, "harmless")) {
    static const int swap[] = {SYS_swapon};
    seal(swap, 1, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW, 1), runs = 1;
  } else if (!strcmp(how, "strict")) {
    void *block = malloc(100);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    say("strict", block != NULL), write(1, text, length);
    free(block), syscall(SYS_exit, 3);
  }
  errno = 0;
  void *block = malloc(200 << 20), *pages = mmap(NULL, 300 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  say("block", block != NULL), say("pages", pages != MAP_FAILED), say("errno", errno);
  while (made < 300 && (fds[made] = open("/dev/null", O_RDONLY)) >= 0) made++;
  say("made", made), say("last", fds[made - 1]);
  int pair[2];
  say("pipe", pipe(pair)), say("lock", flock(fds[0], 2));
  pid_t child = fork();
  if (child == 0) {
    int fd = open("/dev/null", O_RDONLY), bytes = malloc(50 << 20) != NULL;
    _exit(fd - made + bytes);
  }
  int status = -1;
  waitpid(child, &status, 0), say("child", WEXITSTATUS(status));
  for (int i = 0; i < made; i++) close(fds[i]);
  say("again", open("/dev/null", O_RDONLY));
  if (write(1, text, length) != length) _exit(9);
  if (runs) execl("/proc/self/exe", argv[0], how, "image", NULL), _exit(99);
  _exit(4);
}
