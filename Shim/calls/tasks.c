// Tasks: processes and threads, charged before they are made.
#define _GNU_SOURCE
#include "task.h"

#include "lease.h"
#include "next.h"
#include "owned.h"
#include "raw.h"

#include <errno.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORK(name)                                                       \
  EXPORT(pid_t, name, (void)) {                                          \
    struct task t = task_begin(BC_COPY, #name, NULL);                    \
    if (unlikely(t.charge.error)) return errno = t.charge.error, -1;     \
    pid_t child = NEXT(name)();                                          \
    if (child == 0) member_in_child();                                   \
    else task_end(t, child, NULL);                                       \
    return child;                                                        \
  }
SAME_PROTOTYPE(fork, pid_t, (void));
FORK(fork)
FORK(__fork)
FORK(_Fork)

// The parent leaves inside it: only the child comes back.
SAME_PROTOTYPE(daemon, int, (int, int));
EXPORT(int, daemon, (int keep_directory, int keep_files)) {
  struct task t = task_begin(BC_COPY, "daemon", NULL);
  if (unlikely(t.charge.error)) return errno = t.charge.error, -1;
  pid_t before = (pid_t)RAW(SYS_getpid, 0);
  int failed = NEXT(daemon)(keep_directory, keep_files);
  if ((pid_t)RAW(SYS_getpid, 0) != before) {
    member_in_child();
    member_page(); // nobody else will say that it is there
  } else {
    task_end(t, -1, NULL);
  }
  return failed;
}

#if defined(__x86_64__)
// vfork stays vfork: the child borrows this stack, so the return address lives in a register over the system call.
// Kept out of the stack that the child may write to. A child that vforks itself runs in the same memory, and charges
// nothing.
static _Thread_local struct task vforking __attribute__((tls_model("initial-exec")));
__attribute__((used)) static int vfork_begin(void) {
  if (in_vfork_child) return 0;
  vforking = task_begin(BC_IMAGE, "vfork", NULL);
  return vforking.charge.error;
}
__attribute__((used)) static void vfork_in_child(void) { in_vfork_child++; }
__attribute__((used)) static pid_t vfork_end(long child) {
  if (child > 0) in_vfork_child--;
  if (child < 0) errno = (int)-child;
  if (!in_vfork_child) task_end(vforking, child < 0 ? -1 : (pid_t)child, NULL);
  return child < 0 ? -1 : (pid_t)child;
}
__attribute__((used)) static pid_t vfork_refused(int error) { return errno = error, -1; }
__asm__(".globl vfork\n.globl __vfork\n.type vfork,@function\n.type __vfork,@function\nvfork:\n__vfork:\n"
        "sub $8,%rsp\ncall vfork_begin\nadd $8,%rsp\ntest %eax,%eax\njnz 2f\n"
        "pop %rdi\nmov $58,%eax\nsyscall\npush %rdi\n"
        "test %rax,%rax\njnz 1f\n"
        "sub $8,%rsp\ncall vfork_in_child\nadd $8,%rsp\nxor %eax,%eax\nret\n"
        "1: mov %rax,%rdi\nsub $8,%rsp\ncall vfork_end\nadd $8,%rsp\nret\n"
        "2: mov %eax,%edi\nsub $8,%rsp\ncall vfork_refused\nadd $8,%rsp\nret\n"
        ".size vfork,.-vfork\n.size __vfork,.-__vfork\n");
#endif

typedef int clone_function(void *);
#define CLONE(name)                                                                                        \
  EXPORT(int, name, (clone_function * run, void *stack, int flags, void *argument, pid_t *parent, void *tls, pid_t *child)) { \
    if (flags & CLONE_THREAD) {                                                                            \
      struct charge c = thread_begin(#name);                                                               \
      if (unlikely(c.error)) return errno = c.error, -1;                                                   \
      int made = NEXT(name)(run, stack, flags, argument, parent, tls, child);                              \
      thread_end(c, made > 0);                                                                             \
      return made;                                                                                         \
    }                                                                                                      \
    enum bc_birth birth = flags & CLONE_VM ? BC_IMAGE : BC_COPY;                                           \
    struct task t = task_begin(birth, #name, NULL);                                                        \
    if (unlikely(t.charge.error)) return errno = t.charge.error, -1;                                       \
    int made = NEXT(name)(run, stack, flags, argument, parent, tls, child);                                \
    task_end(t, made, NULL);                                                                               \
    return made;                                                                                           \
  }
CLONE(clone)
CLONE(__clone)

// glibc's posix_spawn, and system and popen through it, map a stack for the child first (sysdeps/unix/sysv/linux/spawni.c): 32 KiB
// and the arguments.
enum { SPAWN_STACK = 64 << 10, SPAWN_PAGE = 4096 };

// Room for that, where a refusal could not be tried again.
static void spawn_stack_ahead(const char *call) {
  int saved = errno;
  struct lease_try t = {.call = call, .least = SPAWN_PAGE, .want = SPAWN_STACK, .numbers = {{SPAWN_STACK}}};
  long at;
  while ((at = RAW(SYS_mmap, 0, SPAWN_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) == -ENOMEM && lease_grow(&t)) {}
  if (at > 0 || at < -4095) RAW(SYS_munmap, at, SPAWN_STACK);
  errno = saved;
}

#define SPAWN(name, along_path)                                                                                            \
  SAME_PROTOTYPE(name, int, (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, \
                             char *const[], char *const[]));                                                   \
  EXPORT(int, name, (pid_t *out, const char *path, const posix_spawn_file_actions_t *actions,                  \
                     const posix_spawnattr_t *attr, char *const argv[], char *const env[])) {                  \
    size_t n = environment_entries(env);                                                                       \
    char *room[n ? n : 1];                                                                                     \
    char *const *with = n ? environment_repaired(env, room) : env;                                             \
    struct image image = {.path = path, .env = with, .searched = along_path};                                  \
    struct task t = task_begin(BC_IMAGE, #name, &image);                                                       \
    if (unlikely(t.charge.error)) return t.charge.error;                                                       \
    pid_t child = -1;                                                                                          \
    int error = NEXT(name)(&child, path, actions, attr, argv, with);                                           \
    struct lease_try stack = {.call = #name, .least = SPAWN_PAGE, .want = SPAWN_STACK, .numbers = {{SPAWN_STACK}}};                        \
    while (unlikely(error == ENOMEM) && lease_grow(&stack)) error = NEXT(name)(&child, path, actions, attr, argv, with); \
    task_end(t, error ? -1 : child, path);                                                                     \
    if (!error && out) *out = child;                                                                           \
    return error;                                                                                              \
  }
SPAWN(posix_spawn, false)
SPAWN(posix_spawnp, true)

// libc gives the shell `environ`: where the program has emptied it (clearenv), one with what a member needs stands in for
// the length of the call. It is not on the stack, so that a call that ends by cancellation leaves nothing dangling.
static struct environment {
  char **was, **with; // `with` null: nothing to give back
} environment_lent(void) {
  static char *room[1024];
  static int busy;
  struct environment e = {environ, NULL};
  size_t n = environment_entries(environ);
  if (likely(!n) || n > sizeof room / sizeof *room || __atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) return e;
  environ = e.with = (char **)environment_repaired(e.was, room);
  __atomic_store_n(&busy, 0, __ATOMIC_RELEASE); // whoever comes next finds a whole one
  return e;
}

static void environment_back(struct environment e) {
  if (e.with && environ == e.with) environ = e.was;
}

// The shell joins by itself; the child's number is libc's secret, so the unit of the fork waits for it.
SAME_PROTOTYPE(system, int, (const char *));
EXPORT(int, system, (const char *command)) {
  if (!command) return NEXT(system)(command);
  struct environment e = environment_lent();
  struct image shell = {.path = "/bin/sh", .env = environ, .shown = command};
  struct task t = task_begin(BC_IMAGE, "system", &shell);
  if (unlikely(t.charge.error)) return environment_back(e), errno = t.charge.error, -1;
  if (t.charge.page) spawn_stack_ahead("system");
  int status = NEXT(system)(command);
  environment_back(e);
  task_end(t, BC_NOTE_OVER, NULL);
  return status;
}

static FILE *popened(FILE *(*next)(const char *, const char *), const char *command, const char *mode) {
  struct charge c = charge_begin(BC_NUMFILE, 1, ENFILE, "popen", command);
  if (unlikely(c.error)) return errno = c.error, NULL;
  struct environment e = environment_lent();
  struct image shell = {.path = "/bin/sh", .env = environ, .shown = command};
  struct task t = task_begin(BC_IMAGE, "popen", &shell);
  if (unlikely(t.charge.error)) {
    environment_back(e);
    charge_end(c, BC_NUMFILE, 1);
    // glibc's popen answers a refused process with ENOMEM (its internal posix_spawn failed).
    return errno = t.charge.error == EAGAIN ? ENOMEM : t.charge.error, NULL;
  }
  if (t.charge.page) spawn_stack_ahead("popen");
  FILE *file = next(command, mode);
  environment_back(e);
  file_made(c, file ? fileno(file) : -1);
  task_end(t, file ? BC_NOTE_SECRET : -1, NULL);
  return file;
}

SAME_PROTOTYPE(popen, FILE *, (const char *, const char *));
EXPORT(FILE *, popen, (const char *command, const char *mode)) { return popened(NEXT(popen), command, mode); }
EXPORT(FILE *, _IO_popen, (const char *command, const char *mode)) { return popened(NEXT(_IO_popen), command, mode); }

// A child that has been reaped is gone for certain: its unit is back without a word to the server.
static bool ended(int status) { return WIFEXITED(status) || WIFSIGNALED(status); }

#define WAITED(pid, status) \
  do {                      \
    if ((pid) > 0 && ended(status)) task_reaped(pid); \
  } while (0)

SAME_PROTOTYPE(wait, pid_t, (int *));
EXPORT(pid_t, wait, (int *status)) {
  int own, *to = status ? status : &own;
  pid_t child = NEXT(wait)(to);
  WAITED(child, *to);
  return child;
}

#define WAITPID(name)                                               \
  EXPORT(pid_t, name, (pid_t pid, int *status, int flags)) {        \
    int own, *to = status ? status : &own;                          \
    pid_t child = NEXT(name)(pid, to, flags);                       \
    WAITED(child, *to);                                             \
    return child;                                                   \
  }
SAME_PROTOTYPE(waitpid, pid_t, (pid_t, int *, int));
WAITPID(waitpid)
WAITPID(__waitpid)

SAME_PROTOTYPE(wait3, pid_t, (int *, int, struct rusage *));
EXPORT(pid_t, wait3, (int *status, int flags, struct rusage *used)) {
  int own, *to = status ? status : &own;
  pid_t child = NEXT(wait3)(to, flags, used);
  WAITED(child, *to);
  return child;
}

SAME_PROTOTYPE(wait4, pid_t, (pid_t, int *, int, struct rusage *));
EXPORT(pid_t, wait4, (pid_t pid, int *status, int flags, struct rusage *used)) {
  int own, *to = status ? status : &own;
  pid_t child = NEXT(wait4)(pid, to, flags, used);
  WAITED(child, *to);
  return child;
}

SAME_PROTOTYPE(waitid, int, (idtype_t, id_t, siginfo_t *, int));
EXPORT(int, waitid, (idtype_t type, id_t id, siginfo_t *info, int flags)) {
  int error = NEXT(waitid)(type, id, info, flags);
  if (error == 0 && info && info->si_pid > 0 && !(flags & WNOWAIT) &&
      (info->si_code == CLD_EXITED || info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED))
    task_reaped(info->si_pid);
  return error;
}
