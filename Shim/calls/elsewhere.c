// Other root directories and namespaces: nothing is obtained, but the server's socket may be out of sight afterwards. A process
// that has no page yet gets one before, while it can be sent one.
#define _GNU_SOURCE
#include "ask.h"
#include "credit.h"
#include "elsewhere.h"
#include "next.h"

#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

static void leaving(void) { member_page(); }

static int arrived(int result) {
  if (result < 0 || standing != STANDING_INSIDE || in_vfork_child) return result;
  int saved = errno;
  ask_from_elsewhere();
  errno = saved;
  return result;
}

SAME_PROTOTYPE(chroot, int, (const char *));
EXPORT(int, chroot, (const char *path)) {
  leaving();
  return arrived(NEXT(chroot)(path));
}

SAME_PROTOTYPE(unshare, int, (int));
EXPORT(int, unshare, (int flags)) {
  if (!(flags & (CLONE_NEWNS | CLONE_NEWNET))) return NEXT(unshare)(flags);
  leaving();
  return arrived(NEXT(unshare)(flags));
}

SAME_PROTOTYPE(setns, int, (int, int));
EXPORT(int, setns, (int fd, int type)) {
  leaving();
  return arrived(NEXT(setns)(fd, type));
}

// glibc exports it and declares it nowhere.
EXPORT(int, pivot_root, (const char *root, const char *old)) {
  leaving();
  return arrived(NEXT(pivot_root)(root, old));
}

bool elsewhere_moves(long number, long a) {
  return number == SYS_chroot || number == SYS_setns || number == SYS_pivot_root || (number == SYS_unshare && a & (CLONE_NEWNS | CLONE_NEWNET));
}

long elsewhere_syscall(raw_call *next, long number, long a, long b, long c, long d, long e, long f) {
  leaving();
  return arrived((int)next(number, a, b, c, d, e, f));
}
