// Descriptors that are more than a file of this process's own.
#define _GNU_SOURCE
#include "owned.h"

#include "locks.h"
#include "raw.h"

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
  if (r.what) begin(r.page, BC_NUMFILE);
  if (owned_second(r.what)) begin(r.page, owned_second(r.what));
  if (ranges) {
    begin(r.page, BC_NUMFLOCK);
    r.ranges = ranges_closing(r.page, fd, r.what != 0);
    if (!r.ranges) credit_settle(bc_page_cell(r.page, BC_NUMFLOCK));
  }
  return r;
}

// It may have been the last of a shared description: what it was is now an upper estimate.
static void unsure(struct bc_page *page) {
  static const uint8_t rows[] = {BC_NUMFILE, BC_NUMTCPSOCK, BC_NUMOTHERSOCK, BC_NUMPTY, BC_NUMINOTIFY, BC_NUMFLOCK, BC_SHMPAGES};
  for (size_t i = 0; i < sizeof rows; i++)
    if (!bc_load32(&bc_page_cell(page, rows[i])->uncertain)) uncertain(page, rows[i]);
}

__attribute__((noinline)) void release_more_end(struct release r, int fd, bool closed) {
  unsigned second = owned_second(r.what);
  if (r.what && !closed) owned_set(r.page, fd, r.what);
  if (second) end(r.page, second, closed);
  if (r.what) end(r.page, BC_NUMFILE, closed);
  else if (closed) unsure(r.page);
  if (!r.ranges) return;
  if (!closed) uncertain(r.page, BC_NUMFLOCK); // they are held still, and no longer known one by one
  end(r.page, BC_NUMFLOCK, closed ? r.ranges : 0);
}

int opened_pty(struct charge c, int fd, const char *call, const char *path) {
  struct stat info;
  bool master = RAW(SYS_fstat, fd, &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == makedev(5, 2);
  if (!master || !c.page) return file_made(c, fd), 0;
  struct charge pty = charge_begin(BC_NUMPTY, 1, ENOMEM, call, path);
  if (pty.error) return pty.error;
  owned_set(c.page, fd, pty.page ? BC_OWNED_PTY : BC_OWNED_FILE);
  charge_end(pty, BC_NUMPTY, 0);
  charge_end(c, BC_NUMFILE, 0);
  return 0;
}
