// Pseudo-terminals and inotify instances: each is a file, and one of its own row.
#define _GNU_SOURCE
#include "next.h"
#include "owned.h"
#include "task.h"

#include <errno.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

// ENOMEM from the kernels' pty_open; EMFILE as inotify_init(2) has it for the bound of a user.
#define ONE(name, params, args, what, refusal)                           \
  SAME_PROTOTYPE(name, int, params);                                     \
  EXPORT(int, name, params) {                                            \
    struct charge_pair p;                                                \
    int error = pair_begin(&p, what, 1, refusal, #name, 0, 0);           \
    if (unlikely(error)) return errno = error, -1;                       \
    int fd = NEXT(name) args;                                            \
    pair_end(&p, &fd, 1, fd >= 0);                                       \
    return fd;                                                           \
  }
ONE(posix_openpt, (int flags), (flags), BC_OWNED_PTY, ENOMEM)
ONE(getpt, (void), (), BC_OWNED_PTY, ENOMEM)
ONE(inotify_init, (void), (), BC_OWNED_INOTIFY, EMFILE)
ONE(inotify_init1, (int flags), (flags), BC_OWNED_INOTIFY, EMFILE)

SAME_PROTOTYPE(openpty, int, (int *, int *, char *, const struct termios *, const struct winsize *));
EXPORT(int, openpty, (int *master, int *slave, char *name, const struct termios *t, const struct winsize *w)) {
  struct charge_pair p;
  int error = pair_begin(&p, BC_OWNED_PTY, 1, ENOMEM, "openpty", 0, 0);
  if (unlikely(error)) return errno = error, -1;
  struct charge second = charge_begin(BC_NUMFILE, 1, ENFILE, "openpty", NULL);
  if (unlikely(second.error)) {
    pair_end(&p, NULL, 1, false);
    return errno = second.error, -1;
  }
  int failed = NEXT(openpty)(master, slave, name, t, w);
  file_made(second, failed ? -1 : *slave);
  pair_end(&p, master, 1, failed == 0);
  return failed;
}

SAME_PROTOTYPE(forkpty, int, (int *, char *, const struct termios *, const struct winsize *));
EXPORT(int, forkpty, (int *master, char *name, const struct termios *t, const struct winsize *w)) {
  struct charge_pair p;
  int error = pair_begin(&p, BC_OWNED_PTY, 1, ENOMEM, "forkpty", 0, 0);
  if (unlikely(error)) return errno = error, -1;
  struct task task = task_begin(BC_COPY, "forkpty", NULL);
  if (unlikely(task.charge.error)) {
    pair_end(&p, NULL, 1, false);
    return errno = task.charge.error, -1;
  }
  pid_t child = NEXT(forkpty)(master, name, t, w);
  if (child == 0) return member_in_child(), 0;
  pair_end(&p, master, 1, child > 0);
  task_end(task, child, NULL);
  return child;
}
