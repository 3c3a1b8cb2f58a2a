// What only looks at a path: the views are there too.
#define _GNU_SOURCE
#include "next.h"
#include "owned.h"
#include "views.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

// Where a path begins, for functions without a parameter of this name.
enum { at = AT_FDCWD };

// By its descriptor too a view says the same. Few files have no name and this mode.
#define MAY_BE_VIEW(mode, links) (unlikely((mode) == (S_IFREG | 0400) && (links) == 0))

static void patch(struct stat *info, enum view v, const char *path) {
  info->st_mode = view_mode(v);
  info->st_ino = view_inode(path);
}

static void patch64(struct stat64 *info, enum view v, const char *path) {
  info->st_mode = view_mode(v);
  info->st_ino = view_inode(path);
}

static void patchx(struct statx *info, enum view v, const char *path) {
  info->stx_mode = (uint16_t)view_mode(v);
  info->stx_ino = view_inode(path);
}

// Not accounted, and called often: nothing but a test of what the kernel said. `like`: the arguments again, with the path of a
// file that is there.
#define STATS(name, params, args, like, patch)                           \
  SAME_PROTOTYPE(name, int, params);                                     \
  EXPORT(int, name, params);                                             \
  __attribute__((noinline, cold)) static int name##_refused params {     \
    enum view v = view_there(at, path);                                      \
    if (!v || NEXT(name) like != 0) return -1;                           \
    patch(info, v, path);                                                \
    return 0;                                                            \
  }                                                                      \
  static int name##_first params;                                        \
  static __typeof__(bc_##name) *name##_next = name##_first;              \
  static int name##_first params {                                       \
    __atomic_store_n(&name##_next, (__typeof__(&bc_##name))next_find(#name), __ATOMIC_RELAXED); \
    return name##_next args;                                             \
  }                                                                      \
  int bc_##name params { return likely(name##_next args == 0) ? 0 : name##_refused args; }
#define OLD_STATS(name, params, args, like, patch) extern int name params; STATS(name, params, args, like, patch)
STATS(stat, (const char *path, struct stat *info), (path, info), (view_like(v), info), patch)
STATS(lstat, (const char *path, struct stat *info), (path, info), (view_like(v), info), patch)
STATS(stat64, (const char *path, struct stat64 *info), (path, info), (view_like(v), info), patch64)
STATS(lstat64, (const char *path, struct stat64 *info), (path, info), (view_like(v), info), patch64)
STATS(fstatat, (int at, const char *path, struct stat *info, int flags), (at, path, info, flags),
      (at, view_like(v), info, flags), patch)
STATS(fstatat64, (int at, const char *path, struct stat64 *info, int flags), (at, path, info, flags),
      (at, view_like(v), info, flags), patch64)

extern __typeof__(statx) bc_statx __asm__("statx");
int view_statx(int error, int at, const char *path, int flags, unsigned mask, struct statx *info) {
  if (likely(error == 0) && !(flags & AT_EMPTY_PATH && MAY_BE_VIEW(info->stx_mode, info->stx_nlink))) return 0;
  char room[VIEW_PATH];
  enum view v;
  if (error == 0) {
    if (path && *path) return 0;
    path = view_behind(at, room);
    v = path ? VIEW_FILE : VIEW_NONE;
  } else {
    v = view_there(at, path);
  }
  if (!v) return error;
  bool meminfo = strcmp(path, "/proc/meminfo") == 0;
  error = NEXT(statx)(AT_FDCWD, meminfo ? path : view_like(v), flags & ~AT_EMPTY_PATH, mask, info);
  if (error == 0 && !meminfo) patchx(info, v, path);
  return error;
}

SAME_PROTOTYPE(statx, int, (int, const char *, int, unsigned, struct statx *));
EXPORT(int, statx, (int at, const char *path, int flags, unsigned mask, struct statx *info)) {
  return view_statx(NEXT(statx)(at, path, flags, mask, info), at, path, flags, mask, info);
}

// What stat(2) was to a program linked before glibc 2.33.
OLD_STATS(__xstat, (int version, const char *path, struct stat *info), (version, path, info),
          (version, view_like(v), info), patch)
OLD_STATS(__lxstat, (int version, const char *path, struct stat *info), (version, path, info),
          (version, view_like(v), info), patch)
OLD_STATS(__xstat64, (int version, const char *path, struct stat64 *info), (version, path, info),
          (version, view_like(v), info), patch64)
OLD_STATS(__lxstat64, (int version, const char *path, struct stat64 *info), (version, path, info),
          (version, view_like(v), info), patch64)
OLD_STATS(__fxstatat, (int version, int at, const char *path, struct stat *info, int flags), (version, at, path, info, flags),
          (version, at, view_like(v), info, flags), patch)
OLD_STATS(__fxstatat64, (int version, int at, const char *path, struct stat64 *info, int flags),
          (version, at, path, info, flags), (version, at, view_like(v), info, flags), patch64)

#define DESCRIBES(name, params, args, type, look, patch)                 \
  __attribute__((noinline, cold)) static int view_##name(int fd, struct type *info) { \
    char room[VIEW_PATH];                                                \
    const char *path = view_behind(fd, room);                            \
    struct type like;                                                    \
    if (!path) return 0;                                                 \
    bool meminfo = strcmp(path, "/proc/meminfo") == 0;                   \
    if (look(meminfo ? path : view_like(VIEW_FILE), &like) != 0) return 0; \
    *info = like;                                                        \
    if (!meminfo) patch(info, VIEW_FILE, path);                          \
    return 0;                                                            \
  }                                                                      \
  EXPORT(int, name, params) {                                            \
    int error = NEXT(name) args;                                         \
    if (error == 0 && MAY_BE_VIEW(info->st_mode, info->st_nlink)) return view_##name(fd, info); \
    return error;                                                        \
  }
SAME_PROTOTYPE(fstat, int, (int, struct stat *));
SAME_PROTOTYPE(fstat64, int, (int, struct stat64 *));
extern int __fxstat(int, int, struct stat *), __fxstat64(int, int, struct stat64 *);
DESCRIBES(fstat, (int fd, struct stat *info), (fd, info), stat, NEXT(stat), patch)
DESCRIBES(fstat64, (int fd, struct stat64 *info), (fd, info), stat64, NEXT(stat64), patch64)
DESCRIBES(__fxstat, (int version, int fd, struct stat *info), (version, fd, info), stat, NEXT(stat), patch)
DESCRIBES(__fxstat64, (int version, int fd, struct stat64 *info), (version, fd, info), stat64, NEXT(stat64), patch64)

__attribute__((noinline, cold)) static int looked(int from, const char *path, int mode, int error) {
  enum view v = view_there(from, path);
  if (!v) return error;
  if (mode & (v == VIEW_FILE ? W_OK | X_OK : W_OK | R_OK)) return errno = EACCES, -1;
  return 0;
}

#define LOOKS(name, params, args)                                        \
  SAME_PROTOTYPE(name, int, params);                                     \
  EXPORT(int, name, params) {                                            \
    int error = NEXT(name) args;                                         \
    return likely(error == 0) ? 0 : looked(at, path, mode, error);       \
  }
LOOKS(access, (const char *path, int mode), (path, mode))
LOOKS(faccessat, (int at, const char *path, int mode, int flags), (at, path, mode, flags))
LOOKS(euidaccess, (const char *path, int mode), (path, mode))
LOOKS(eaccess, (const char *path, int mode), (path, mode))

// No attributes, and no link: what the kernel says of a file of /proc that is like it.
#define LIKE(name, ret, params, args, like)                              \
  SAME_PROTOTYPE(name, ret, params);                                     \
  EXPORT(ret, name, params) {                                            \
    ret n = NEXT(name) args;                                             \
    if (likely(n >= 0)) return n;                                        \
    enum view v = view_there(at, path);                                      \
    return v ? NEXT(name) like : n;                                      \
  }
LIKE(getxattr, ssize_t, (const char *path, const char *name, void *value, size_t size), (path, name, value, size),
     (view_like(v), name, value, size))
LIKE(lgetxattr, ssize_t, (const char *path, const char *name, void *value, size_t size), (path, name, value, size),
     (view_like(v), name, value, size))
LIKE(listxattr, ssize_t, (const char *path, char *list, size_t size), (path, list, size), (view_like(v), list, size))
LIKE(llistxattr, ssize_t, (const char *path, char *list, size_t size), (path, list, size), (view_like(v), list, size))
LIKE(readlink, ssize_t, (const char *path, char *text, size_t size), (path, text, size), (view_like(v), text, size))
LIKE(readlinkat, ssize_t, (int at, const char *path, char *text, size_t size), (at, path, text, size),
     (at, view_like(v), text, size))
