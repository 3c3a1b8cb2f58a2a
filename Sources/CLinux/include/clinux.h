// What Glibc's Swift module leaves out, and the few calls that have no wrapper in glibc 2.36.
#ifndef BEANCOUNTER_CLINUX_H
#define BEANCOUNTER_CLINUX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/netlink_diag.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

// syscall(2) is variadic, which Swift does not import.
static inline long clinux_syscall(long n, long a, long b, long c, long d, long e) { return syscall(n, a, b, c, d, e); }

static inline int clinux_prlimit(pid_t pid, unsigned long long soft, unsigned long long *was) {
  struct rlimit now;
  if (prlimit(pid, RLIMIT_DATA, NULL, &now) < 0) return errno;
  if (was) *was = now.rlim_cur;
  now.rlim_cur = soft < now.rlim_max ? soft : now.rlim_max;
  return prlimit(pid, RLIMIT_DATA, &now, NULL) < 0 ? errno : 0;
}

// The soft RLIMIT_DATA of a process in bytes; 0 when it cannot be read.
static inline unsigned long long clinux_limit(pid_t pid) {
  struct rlimit now;
  return prlimit(pid, RLIMIT_DATA, NULL, &now) < 0 ? 0 : now.rlim_cur;
}

// A device as /proc/PID/maps is read: major << 32 | minor.
static inline unsigned long long clinux_device(dev_t device) { return (unsigned long long)major(device) << 32 | minor(device); }

// Memory that malloc has and does not need goes back to the system.
static inline void clinux_trim(void) { malloc_trim(0); }

// Sets the soft RLIMIT_NOFILE, as far as the hard one lets it, and says what it was.
static inline void clinux_descriptors(unsigned long long soft, unsigned long long *was) {
  struct rlimit now;
  if (getrlimit(RLIMIT_NOFILE, &now) < 0) return;
  *was = now.rlim_cur;
  now.rlim_cur = soft < now.rlim_max ? soft : now.rlim_max;
  setrlimit(RLIMIT_NOFILE, &now);
}
static inline unsigned long long clinux_descriptors_now(void) {
  struct rlimit now;
  return getrlimit(RLIMIT_NOFILE, &now) < 0 ? 1024 : now.rlim_cur < 1 << 30 ? now.rlim_cur : 1 << 30;
}

// Sets it and answers what it was at that moment (do_prlimit holds one lock over both); 0 when it cannot.
static inline unsigned long long clinux_exchange_limit(pid_t pid, unsigned long long soft) {
  struct rlimit now, was;
  if (prlimit(pid, RLIMIT_DATA, NULL, &now) < 0) return 0;
  now.rlim_cur = soft < now.rlim_max ? soft : now.rlim_max;
  return prlimit(pid, RLIMIT_DATA, &now, &was) < 0 ? 0 : was.rlim_cur;
}

// A message with at most one descriptor.
ssize_t clinux_send(int socket, const void *bytes, size_t size, int fd);

// Starts argv[0] with the given mask and directory, and with `lease` as its soft RLIMIT_DATA where that is not null. It is found
// along the PATH in `env`, as env(1) does; a text without #! is for /bin/sh, as the shells and execvp(3) have it. 0, or an errno
// (ENOENT: there is no such file), or one of these.
enum {
  CLINUX_NO_INTERPRETER = -1, // there is the file, and what it names to read it is missing
  CLINUX_NO_DIRECTORY = -2,
  CLINUX_NO_LEASE = -3,   // RLIMIT_DATA cannot be set
  CLINUX_NOT_LET_IN = -4, // the server says no
};
int clinux_spawn(pid_t *child, char *const argv[], char *const env[], const sigset_t *mask, const char *directory,
                 const unsigned long long *lease);

// waitpid(2), which says ru_maxrss of the child and of those that it waited for, too, in KiB. (Not inline: an enum of getrusage's
// differs between Glibc's module and ours.)
pid_t clinux_wait(pid_t child, int *status, int options, long *peak);
static inline int clinux_status_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
static inline int clinux_status_signal(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }
static inline int clinux_status_stopped(int status) { return WIFSTOPPED(status) ? WSTOPSIG(status) : 0; }
static inline int clinux_seal(int fd, int seals) { return fcntl(fd, F_ADD_SEALS, seals); }
static inline bool clinux_is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
// stat(2) and open(2) by names that Swift can tell from the struct and the variadic function.
static inline int clinux_stat(const char *path, struct stat *info) { return stat(path, info); }
static inline int clinux_fstat(int fd, struct stat *info) { return fstat(fd, info); }
static inline int clinux_open(const char *path, int flags) { return open(path, flags, 0666); }
int clinux_rename(const char *from, const char *to);
static inline bool clinux_is_socket(unsigned mode) { return S_ISSOCK(mode); }
static inline bool clinux_is_setid(unsigned mode) { return (mode & (S_ISUID | S_ISGID)) != 0; }
// sockaddr arguments are transparent unions under _GNU_SOURCE, and errno is a macro.
static inline int clinux_errno(void) { return errno; }
static inline int clinux_accept(int fd) { return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }
// Listens at a path, or at the same name with its first byte zero: an abstract one. A descriptor, or −1.
int clinux_listen(const char *path, bool abstract);
// A SOCK_SEQPACKET connection to the server at a path, or −1.
int clinux_connect(const char *path);
// clinux_spawn of a child that asks the server to let it in before it becomes argv[0].
int clinux_spawn_entering(pid_t *child, char *const argv[], char *const env[], const sigset_t *mask, const char *directory,
                          const char *server, const void *question, size_t size);
static inline bool clinux_is_own_directory(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid() && (info.st_mode & 077) == 0;
}
// The same where others may look in, and not write.
static inline bool clinux_is_own_writable(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid() && (info.st_mode & 022) == 0;
}
// A listening SOCK_SEQPACKET socket somebody else made, from now on non-blocking and closed by exec; false for another.
static inline bool clinux_prepare_inherited(int fd) {
  int listens = 0, type = 0;
  socklen_t n = sizeof listens;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0 || !listens) return false;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_SEQPACKET) return false;
  return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}
// Tells the service manager (sd_notify(3)); false where there is none.
bool clinux_notify(const char *text);
static inline const char *clinux_environment(size_t i) { return environ[i]; }
// Opens what is closed of descriptors 0 to 2, for nothing of ours may be taken for them; COMMAND finds them closed.
void clinux_open_standard(void);
// The environment that the wrapper script was started with, from BC_ENVIRONMENT: a shell drops names that are none of its own, as
// bash's exported functions have, and sets PWD.
void clinux_restore_environment(void);
// The file of a report, emptied; "-" is stdout, and a descriptor of ours named by /dev/stdout, /dev/fd/N or /proc/self/fd/N is
// taken as it is: what has been written there stays. A descriptor, or −1.
int clinux_open_report(const char *path);
// Writes all of it, waiting where it must; 0, or an errno. Never kills this process by SIGPIPE.
int clinux_write_all(int fd, const char *text, size_t size);
// Ends this process the way COMMAND ended: by the same signal, without a second core.
void clinux_die_of(int signal);
static inline pid_t clinux_fork(void) { return fork(); }

// Code that has run once, at the start, is no longer resident; it is mapped again when it is needed. Only what nobody can have
// written to.
void clinux_forget_start(void);

// process_madvise(2) MADV_PAGEOUT of a part of another process's memory: 0, or an errno.
int clinux_page_out(int pidfd, unsigned long at, size_t size);
// Whether that pages anything out here, tried with a child: 0, an errno, or CLINUX_PAGES_STAY.
enum { CLINUX_PAGES_STAY = -1 };
int clinux_try_page_out(void);

// A thread that sleeps on words of shared memory (futex_waitv(2), Linux 5.16, takes 128) and writes to an eventfd when one of
// them has a certain value. It runs from the first word that is watched on, also in a process that has been forked; without
// futex_waitv it does nothing. One for a process, called from one thread.
enum { CLINUX_WATCHED = 127 };
int clinux_watcher(int32_t value); // the eventfd
bool clinux_watch(const int32_t *word); // false: no more can be watched
void clinux_unwatch(const int32_t *word);
void clinux_wake(const int32_t *word);

#endif
