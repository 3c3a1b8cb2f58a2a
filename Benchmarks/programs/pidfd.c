// valgrind 3.19 knows no pidfd_open(2). Preloaded into bcd under callgrind: an eventfd that never becomes ready stands in for
// the process's descriptor, so its end is found at the next tick.
#include <sys/eventfd.h>
#include <sys/types.h>

int pidfd_open(pid_t pid, unsigned flags) {
  (void)pid, (void)flags;
  return eventfd(0, EFD_CLOEXEC);
}
