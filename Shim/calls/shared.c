// shmpages: System V segments, and files that live in memory. ENOSPC as the kernels' shmem.c refuses; pages, whole length.
// How such memory goes (the last detach, the last unmap, the last close) is not seen: all but an unused segment's removal
// waits for a recount.
#define _GNU_SOURCE
#include "next.h"
#include "owned.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { PAGE = 4096 };

static int64_t pages_of(uint64_t bytes) { return (int64_t)((bytes > INT64_MAX ? INT64_MAX : bytes) / PAGE + (bytes % PAGE != 0)); }

// MARK: System V

// Whether a segment is made or found is the kernel's to say, so the two are asked for apart: what is found costs nothing.
SAME_PROTOTYPE(shmget, int, (key_t, size_t, int));
EXPORT(int, shmget, (key_t key, size_t size, int flags)) {
  bool may_make = key == IPC_PRIVATE || flags & IPC_CREAT;
  if (!may_make || size == 0) return NEXT(shmget)(key, size, flags);
  for (;;) {
    int saved = errno;
    int found = key == IPC_PRIVATE || flags & IPC_EXCL ? -1 : NEXT(shmget)(key, size, flags & ~IPC_CREAT);
    bool look = key != IPC_PRIVATE && !(flags & IPC_EXCL);
    if (look && (found >= 0 || errno != ENOENT)) return found;
    errno = saved;
    struct charge c = charge_begin_with(BC_SHMPAGES, pages_of(size), ENOSPC, "shmget", key, (int64_t)size);
    if (unlikely(c.error)) return errno = c.error, -1;
    int made = NEXT(shmget)(key, size, look ? flags | IPC_EXCL : flags);
    charge_end(c, BC_SHMPAGES, made < 0 ? pages_of(size) : 0);
    if (made >= 0 || errno != EEXIST || !look) return made;
    errno = saved; // another process made it in between
  }
}

static void maybe_freed(unsigned resource) {
  struct bc_page *page = member_joined();
  if (page) uncertain(page, resource);
}

SAME_PROTOTYPE(shmctl, int, (int, int, struct shmid_ds *));
__attribute__((visibility("default"))) int bc_shmctl(int, int, struct shmid_ds *) __asm__("shmctl");

static int locked_segment(int id, int command, struct shmid_ds *info) {
  struct shmid_ds now;
  if (NEXT(shmctl)(id, IPC_STAT, &now) < 0 || now.shm_perm.mode & SHM_LOCKED) return NEXT(shmctl)(id, command, info);
  struct charge c = charge_begin_with(BC_LOCKEDPAGES, pages_of(now.shm_segsz), ENOMEM, "shmctl", id, (int64_t)now.shm_segsz);
  if (unlikely(c.error)) return errno = c.error, -1;
  int error = NEXT(shmctl)(id, command, info);
  charge_end(c, BC_LOCKEDPAGES, error ? pages_of(now.shm_segsz) : 0);
  return error;
}

static int removed_segment(int id, int command, struct shmid_ds *info) {
  struct bc_page *page = member_joined();
  struct shmid_ds now;
  bool known = page && NEXT(shmctl)(id, IPC_STAT, &now) == 0;
  // Made by this process and not attached: it goes now, and the unit is this member's.
  bool ours = known && now.shm_nattch == 0 && now.shm_cpid == (pid_t)RAW(SYS_getpid, 0) && !(now.shm_perm.mode & SHM_DEST);
  if (ours) __atomic_fetch_add(&bc_page_cell(page, BC_SHMPAGES)->pending, 1, __ATOMIC_SEQ_CST);
  int error = NEXT(shmctl)(id, command, info);
  if (ours) {
    if (error == 0) credit_give(bc_page_cell(page, BC_SHMPAGES), pages_of(now.shm_segsz));
    credit_settle(bc_page_cell(page, BC_SHMPAGES));
  } else if (page && error == 0) {
    uncertain(page, BC_SHMPAGES);
  }
  if (page && error == 0 && known && now.shm_perm.mode & SHM_LOCKED) uncertain(page, BC_LOCKEDPAGES);
  return error;
}

int bc_shmctl(int id, int command, struct shmid_ds *info) {
  if (command == SHM_LOCK) return locked_segment(id, command, info);
  if (command == IPC_RMID) return removed_segment(id, command, info);
  int result = NEXT(shmctl)(id, command, info);
  if (command == SHM_UNLOCK && result == 0) maybe_freed(BC_LOCKEDPAGES);
  return result;
}

SAME_PROTOTYPE(shmdt, int, (const void *));
EXPORT(int, shmdt, (const void *at)) {
  int error = NEXT(shmdt)(at);
  if (error == 0) maybe_freed(BC_SHMPAGES);
  return error;
}

// MARK: Files in memory

// memfd_create and shm_open make files of tmpfs: one without a name, or one of the file system at /dev/shm.
static bool in_memory(int fd, struct stat *info) {
  struct statfs system;
  struct stat shm;
  if (RAW(SYS_fstatfs, fd, &system) < 0 || system.f_type != TMPFS_MAGIC || RAW(SYS_fstat, fd, info) < 0) return false;
  return S_ISREG(info->st_mode) && (info->st_nlink == 0 || (RAW(SYS_newfstatat, AT_FDCWD, "/dev/shm", &shm, 0) == 0 && shm.st_dev == info->st_dev));
}

// Its size, or what is allocated beyond it: a hole may be filled without another call.
static int64_t held_by(const struct stat *info) {
  int64_t size = pages_of((uint64_t)info->st_size), blocks = pages_of((uint64_t)info->st_blocks * 512);
  return size > blocks ? size : blocks;
}

struct growth {
  struct charge charge;
  int64_t pages;
  bool memory;
};

// To `size` bytes, of which `room` are allocated anew. 0, or the errno to refuse with.
static int grow_begin(struct growth *g, int fd, uint64_t size, uint64_t room, const char *call) {
  struct stat info;
  *g = (struct growth){0};
  g->memory = member_page() && in_memory(fd, &info);
  if (!g->memory) return 0;
  int64_t now = held_by(&info), then = pages_of(size), allocated = pages_of((uint64_t)info.st_blocks * 512) + pages_of(room);
  if (room && allocated > then) then = allocated;
  g->pages = then > now ? then - now : 0;
  if (g->pages) g->charge = charge_begin_with(BC_SHMPAGES, g->pages, ENOSPC, call, fd, (int64_t)(size ? size : room));
  return g->charge.error;
}

static void grow_end(struct growth *g, bool done) {
  if (!g->memory) return;
  if (g->pages) charge_end(g->charge, BC_SHMPAGES, done ? 0 : g->pages);
  maybe_freed(BC_SHMPAGES); // smaller now, or one day closed by whoever has it last
}

#define FTRUNCATE(name)                                                              \
  SAME_PROTOTYPE(name, int, (int, off_t));                                           \
  EXPORT(int, name, (int fd, off_t size)) {                                          \
    struct growth g;                                                                 \
    int error = grow_begin(&g, fd, size < 0 ? 0 : (uint64_t)size, 0, #name);         \
    if (unlikely(error)) return errno = error, -1;                                   \
    int failed = NEXT(name)(fd, size);                                               \
    grow_end(&g, failed == 0);                                                       \
    return failed;                                                                   \
  }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

// Punching holes, collapsing and zeroing add nothing that is not there.
static int allocation(struct growth *g, int fd, int mode, off_t at, off_t n, const char *call) {
  *g = (struct growth){0};
  bool adds = (mode & ~FALLOC_FL_KEEP_SIZE) == 0 && at >= 0 && n > 0 && n <= INT64_MAX - at;
  if (!adds) return 0;
  return grow_begin(g, fd, mode ? 0 : (uint64_t)(at + n), (uint64_t)n + (uint64_t)(at % PAGE), call);
}

#define FALLOCATE(name)                                                              \
  SAME_PROTOTYPE(name, int, (int, int, off_t, off_t));                               \
  EXPORT(int, name, (int fd, int mode, off_t at, off_t n)) {                         \
    struct growth g;                                                                 \
    int error = allocation(&g, fd, mode, at, n, #name);                              \
    if (unlikely(error)) return errno = error, -1;                                   \
    int failed = NEXT(name)(fd, mode, at, n);                                        \
    grow_end(&g, failed == 0);                                                       \
    return failed;                                                                   \
  }
FALLOCATE(fallocate)
FALLOCATE(fallocate64)

// Answers its error and leaves errno alone.
#define POSIX_FALLOCATE(name)                                                        \
  SAME_PROTOTYPE(name, int, (int, off_t, off_t));                                    \
  EXPORT(int, name, (int fd, off_t at, off_t n)) {                                   \
    struct growth g;                                                                 \
    int error = allocation(&g, fd, 0, at, n, #name);                                 \
    if (unlikely(error)) return error;                                               \
    error = NEXT(name)(fd, at, n);                                                   \
    grow_end(&g, error == 0);                                                        \
    return error;                                                                    \
  }
POSIX_FALLOCATE(posix_fallocate)
POSIX_FALLOCATE(posix_fallocate64)
