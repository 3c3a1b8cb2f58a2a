// Descriptors that are more than a file of this process's own.
#define _GNU_SOURCE
#include "owned.h"

#include "locks.h"
#include "raw.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static void begin(struct bc_page *page, unsigned resource) {
  __atomic_fetch_add(&bc_page_cell(page, resource)->pending, 1, __ATOMIC_SEQ_CST);
}

static void end(struct bc_page *page, unsigned resource, int64_t freed) {
  if (freed) credit_give(bc_page_cell(page, resource), freed);
  credit_settle(bc_page_cell(page, resource));
}

__attribute__((noinline)) struct release release_more(struct release r, int fd) {
  bool ranges = r.what & OWNED_RANGES;
  r.what &= 7;
  begin(r.page, BC_NUMFILE); // also where it is not ours: a recount must not miss that something may be closing
  if (owned_second(r.what)) begin(r.page, owned_second(r.what));
  if (!ranges) return r;
  begin(r.page, BC_NUMFLOCK);
  unsigned dropped = ranges_closing(r.page, fd, r.what != 0);
  r.what += dropped * RELEASE_RANGES;
  if (!dropped) credit_settle(bc_page_cell(r.page, BC_NUMFLOCK));
  return r;
}

// It may have been the last of a shared description: what it was is now an upper estimate. Nearly always all rows say so already.
static void unsure(struct bc_page *page) {
  static const uint8_t rows[] = {BC_NUMFILE, BC_NUMTCPSOCK, BC_NUMOTHERSOCK, BC_NUMPTY, BC_NUMINOTIFY, BC_NUMFLOCK, BC_SHMPAGES};
  int32_t all = 1;
#pragma GCC unroll 7
  for (size_t i = 0; i < sizeof rows; i++) all &= bc_load32(&bc_page_cell(page, rows[i])->uncertain);
  if (likely(all)) return;
  for (size_t i = 0; i < sizeof rows; i++) uncertain(page, rows[i]);
}

__attribute__((noinline)) void release_more_end(struct release r, int fd, bool closed) {
  unsigned what = r.what % RELEASE_RANGES, ranges = r.what / RELEASE_RANGES, second = owned_second(what);
  if (what && !closed) owned_set(r.page, fd, what);
  if (second) end(r.page, second, closed);
  if (!what && closed) unsure(r.page);
  end(r.page, BC_NUMFILE, closed && what);
  if (!ranges) return;
  if (!closed) uncertain(r.page, BC_NUMFLOCK); // they are held still, and no longer known one by one
  end(r.page, BC_NUMFLOCK, closed ? ranges : 0);
}

// Puts another file behind the number, so that a recount for the charge does not find the master there already.
static bool put_behind(int fd, const char *path, long flags) {
  long other = RAW(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC | O_NOCTTY);
  if (other < 0) return false;
  bool done = RAW(SYS_dup3, other, fd, flags & O_CLOEXEC) >= 0;
  RAW(SYS_close, other);
  return done;
}

__attribute__((cold)) int opened_pty(struct charge c, int fd, const char *call, const char *path) {
  struct stat info;
  if (!c.page) return 0;
  bool master = RAW(SYS_fstat, fd, &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == makedev(5, 2);
  if (!master) return file_made(c, fd), 0;
  long flags = RAW(SYS_fcntl, fd, F_GETFL) | (RAW(SYS_fcntl, fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0);
  bool away = put_behind(fd, "/dev/null", O_RDWR);
  struct charge pty = charge_begin(BC_NUMPTY, 1, ENOMEM, call, path);
  bool back = !pty.error && (!away || put_behind(fd, path, flags));
  if (!back) {
    if (!pty.error) charge_end(pty, BC_NUMPTY, 1);
    return pty.error ? pty.error : ENOSPC; // the last one went to somebody else: what devpts says then
  }
  owned_set(c.page, fd, pty.page ? BC_OWNED_PTY : BC_OWNED_FILE);
  charge_end(pty, BC_NUMPTY, 0);
  charge_end(c, BC_NUMFILE, 0);
  return 0;
}
