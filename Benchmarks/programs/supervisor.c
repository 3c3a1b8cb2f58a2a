// The other way to be asked about every system call: a seccomp filter with user notification. supervisor COMMAND [ARG…]
// Each of the calls below that COMMAND and its children make wakes this program, which lets it go on; no books are kept. What
// it costs is the least that such a supervisor can cost.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <poll.h>
#include <unistd.h>

// Those through which what a beancounter bounds comes and goes.
static const int calls[] = {SYS_open, SYS_openat, SYS_close, SYS_socket, SYS_socketpair, SYS_accept, SYS_accept4, SYS_pipe, SYS_pipe2,
                            SYS_dup, SYS_dup2, SYS_dup3, SYS_flock, SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_execve,
                            SYS_mmap, SYS_munmap, SYS_mprotect, SYS_brk, SYS_mremap};
enum { CALLS = sizeof calls / sizeof *calls };
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS // Linux 6.6: the answer wakes on the same CPU
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#endif

static int install(void) {
  struct sock_filter code[CALLS + 3];
  code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int i = 0; i < CALLS; i++) code[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], (unsigned char)(CALLS - i), 0);
  code[CALLS + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  code[CALLS + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
  struct sock_fprog program = {.len = CALLS + 3, .filter = code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -1;
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void send_fd(int socket, int fd) {
  union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = {0};
  char byte = 0;
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
  memcpy(CMSG_DATA(c), &fd, sizeof fd);
  if (sendmsg(socket, &message, 0) != 1) _exit(126);
}

static int receive_fd(int socket) {
  union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
  char byte;
  int fd = -1;
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message)) return -1;
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

// Another process than COMMAND's parent answers, or nobody could wait for it.
static void answer(int listener) {
  struct seccomp_notif question;
  struct seccomp_notif_resp response;
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
  for (;;) {
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    if (poll(&ready, 1, -1) < 0 || ready.revents & POLLHUP) _exit(0);
    memset(&question, 0, sizeof question);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) < 0) continue;
    response = (struct seccomp_notif_resp){.id = question.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
  }
}

int main(int count, char **word) {
  if (count < 2) return fprintf(stderr, "supervisor: give COMMAND\n"), 2;
  int pair[2], status;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return perror("supervisor"), 1;
  pid_t answering = fork();
  if (answering == 0) answer(receive_fd(pair[1]));
  pid_t child = fork();
  if (child < 0 || answering < 0) return perror("supervisor: fork"), 1;
  if (child == 0) {
    int listener = install();
    if (listener < 0) perror("supervisor: seccomp"), _exit(126);
    send_fd(pair[0], listener); // its own close is asked about too, so it is left to exec
    execvp(word[1], word + 1);
    perror(word[1]);
    _exit(127);
  }
  waitpid(child, &status, 0);
  kill(answering, SIGKILL); // children of COMMAND that outlive it would hang at their next call
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
