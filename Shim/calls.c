// The rows of calls.def as wrappers.
#define _GNU_SOURCE
#include "next.h"
#include "owned.h"
#include "raw.h"
#include "views.h"

#include <aliases.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <gshadow.h>
#include <mntent.h>
#include <mqueue.h>
#include <netdb.h>
#include <pty.h>
#include <pwd.h>
#include <stdio.h>
#include <rpc/netdb.h>
#include <shadow.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <utmp.h>
#include <utmpx.h>

static int opened_special(struct charge c, int fd, const char *call, const char *path) {
  int error = view_replace_meminfo(fd, path);
  if (error) return error;
  if (is_pty_path(path)) return opened_pty(c, fd, call, path);
  return file_made(c, fd), 0;
}

__attribute__((noinline, cold)) static int descriptor_checked(struct charge c, int fd, const char *call, const char *path) {
  int error = opened_special(c, fd, call, path);
  if (!error) return fd;
  RAW(SYS_close, fd);
  charge_end(c, BC_NUMFILE, 1);
  return errno = error, -1;
}

__attribute__((noinline, cold)) static FILE *stream_checked(struct charge c, FILE *file, const char *call, const char *path) {
  int error = opened_special(c, fileno(file), call, path);
  if (!error) return file;
  ((int (*)(FILE *))next_find("fclose"))(file);
  charge_end(c, BC_NUMFILE, 1);
  return errno = error, NULL;
}

#define FDX(name, params, args, detail)                                            \
  EXPORT(int, name, params) {                                                      \
    struct charge c = charge_begin(BC_NUMFILE, 1, ENFILE, #name, detail);          \
    if (unlikely(c.error)) return errno = c.error, -1;                             \
    int fd = NEXT(name) args;                                                      \
    if (!__builtin_constant_p(detail) && likely(fd >= 0) && may_be_special(detail)) return descriptor_checked(c, fd, #name, detail); \
    file_made(c, fd);                                                              \
    return fd;                                                                     \
  }

// Where a path begins, in the rows without a parameter of this name.
enum { at = AT_FDCWD };

// The kernel has none, or keeps it from us: there may be a view.
__attribute__((noinline, cold)) static int not_opened(struct charge c, int from, const char *path, int flags) {
  int fd = view_open(from, path, flags);
  file_made(c, fd);
  return fd;
}

__attribute__((noinline, cold)) static FILE *not_fopened(struct charge c, const char *path, const char *mode) {
  FILE *file = view_fopen(path, mode);
  file_made(c, file ? fileno(file) : -1);
  return file;
}

#define OPENX(name, params, args)                                                  \
  EXPORT(int, name, params) {                                                      \
    struct charge c = charge_begin(BC_NUMFILE, 1, ENFILE, #name, path);            \
    if (unlikely(c.error)) return errno = c.error, -1;                             \
    int fd = NEXT(name) args;                                                      \
    if (unlikely(fd < 0)) return not_opened(c, at, path, flags);                   \
    if (may_be_special(path)) return descriptor_checked(c, fd, #name, path);       \
    file_made(c, fd);                                                              \
    return fd;                                                                     \
  }
#define OPENV(name, types, params, args) SAME_PROTOTYPE(name, int, types); OPENX(name, params, args)

#define FOPEN(name, params, args) SAME_PROTOTYPE(name, FILE *, params); FOPENX(name, params, args)
#define FOPENX(name, params, args)                                                 \
  EXPORT(FILE *, name, params) {                                                   \
    struct charge c = charge_begin(BC_NUMFILE, 1, ENFILE, #name, path);            \
    if (unlikely(c.error)) return errno = c.error, NULL;                           \
    FILE *file = NEXT(name) args;                                                  \
    if (unlikely(!file)) return not_fopened(c, path, mode);                        \
    if (may_be_special(path)) return stream_checked(c, file, #name, path);         \
    file_made(c, fileno(file));                                                    \
    return file;                                                                   \
  }

#define FDV(name, types, params, args, detail) SAME_PROTOTYPE(name, int, types); FDX(name, params, args, detail)
#define FD(name, params, args, detail) SAME_PROTOTYPE(name, int, params); FDX(name, params, args, detail)

#define FILEP(name, params, args, detail) SAME_PROTOTYPE(name, FILE *, params); FILEPX(name, params, args, detail)
#define FILEPX(name, params, args, detail)                                         \
  EXPORT(FILE *, name, params) {                                                   \
    struct charge c = charge_begin(BC_NUMFILE, 1, ENFILE, #name, detail);          \
    if (unlikely(c.error)) return errno = c.error, NULL;                           \
    FILE *file = NEXT(name) args;                                                  \
    if (!__builtin_constant_p(detail) && file && may_be_special(detail)) return stream_checked(c, file, #name, detail); \
    file_made(c, file ? fileno(file) : -1);                                        \
    return file;                                                                   \
  }

// One flag for each thing that libc keeps open. The charge is never given back here, only forgotten: whether libc
// really opened anything is its own affair, and a recount knows.
static int kept_log, kept_ut, kept_pw, kept_gr, kept_host, kept_net, kept_proto, kept_serv, kept_sp, kept_rpc, kept_sg, kept_alias, kept_netgr;

__attribute__((noinline)) static int keep(int *slot, const char *call) {
  if (__atomic_exchange_n(slot, 1, __ATOMIC_RELAXED)) return 0;
  struct charge c = charge_begin(BC_NUMFILE, 1, ENFILE, call, NULL);
  if (c.error) __atomic_store_n(slot, 0, __ATOMIC_RELAXED);
  if (c.page) __atomic_store_n(&bc_page_cell(c.page, BC_NUMFILE)->uncertain, 1, __ATOMIC_SEQ_CST);
  charge_end(c, BC_NUMFILE, 0);
  return c.error;
}

static void drop(int *slot) {
  struct bc_page *page = member_joined();
  if (__atomic_exchange_n(slot, 0, __ATOMIC_RELAXED) && page)
    __atomic_store_n(&bc_page_cell(page, BC_NUMFILE)->uncertain, 1, __ATOMIC_SEQ_CST);
}

#define KEEP(slot, ret, failure, name, params, args)                               \
  SAME_PROTOTYPE(name, ret, params);                                               \
  EXPORT(ret, name, params) {                                                      \
    int error = keep(&kept_##slot, #name);                                         \
    if (unlikely(error)) {                                                         \
      errno = error;                                                               \
      return failure;                                                              \
    }                                                                              \
    return NEXT(name) args;                                                        \
  }
#define DROP(slot, ret, name, params, args)                                        \
  SAME_PROTOTYPE(name, ret, params);                                               \
  EXPORT(ret, name, params) {                                                      \
    NEXT(name) args;                                                               \
    drop(&kept_##slot);                                                            \
  }
#define HAND(name)
#define NONE(name, reason)
#define NONEs(reason, ...)

#include "calls.def"
