// Descriptors that are more than a file of this process's own.
#define _GNU_SOURCE
#include "owned.h"

#include "duplicates.h"
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

// Locked byte ranges that go with it, * RELEASE_RANGES.
static uint64_t ranges_with(struct bc_page *page, int fd, bool alone) {
  begin(page, BC_NUMFLOCK);
  unsigned dropped = ranges_closing(page, fd, alone);
  if (!dropped) credit_settle(bc_page_cell(page, BC_NUMFLOCK));
  return dropped * RELEASE_RANGES;
}

__attribute__((noinline)) struct release release_grouped(struct bc_page *page, int fd, uint16_t was) {
  uint32_t generation = __atomic_load_n(&page->generation, __ATOMIC_SEQ_CST);
  uint64_t what = duplicate_leaves(page, was, generation & ~BC_RANGES_HELD);
  if (unlikely(!(what & RELEASE_ONE_OF_SEVERAL))) {
    begin(page, BC_NUMFILE);
    if (owned_second(what & 7)) begin(page, owned_second(what & 7));
  }
  if (unlikely(generation & BC_RANGES_HELD)) what += ranges_with(page, fd, what & 7);
  return (struct release){page, what | RELEASE_MORE};
}

__attribute__((noinline)) struct release release_more(struct bc_page *page, int fd, uint16_t was) {
  uint32_t generation = __atomic_load_n(&page->generation, __ATOMIC_SEQ_CST);
  uint64_t what = was >> 3 == (generation & ~BC_RANGES_HELD) ? was & 7 : 0;
  begin(page, BC_NUMFILE); // also where it is not ours: a recount must not miss that something may be closing
  if (owned_second(what)) begin(page, owned_second(what));
  if (what) what |= (uint64_t)was << RELEASE_WORD;
  if (unlikely(generation & BC_RANGES_HELD)) what += ranges_with(page, fd, what & 7);
  return (struct release){page, what | RELEASE_MORE};
}

// Nearly always all rows say so already.
void owned_unsure(struct bc_page *page) {
  static const uint8_t rows[] = {BC_NUMFILE, BC_NUMTCPSOCK, BC_NUMOTHERSOCK, BC_NUMPTY, BC_NUMINOTIFY, BC_NUMFLOCK, BC_SHMPAGES};
  int32_t all = 1;
#pragma GCC unroll 7
  for (size_t i = 0; i < sizeof rows; i++) all &= bc_load32(&bc_page_cell(page, rows[i])->uncertain);
  if (likely(all)) return;
  for (size_t i = 0; i < sizeof rows; i++) uncertain(page, rows[i]);
}

static void ranges_end(struct release r, bool closed) {
  uint32_t ranges = (uint32_t)(r.what & ~RELEASE_MORE) / RELEASE_RANGES;
  if (likely(!ranges) || !(r.what & RELEASE_MORE)) return;
  if (!closed) uncertain(r.page, BC_NUMFLOCK); // they are held still, and no longer known one by one
  end(r.page, BC_NUMFLOCK, closed ? ranges : 0);
}

__attribute__((noinline)) void release_grouped_end(struct release r, int fd, bool closed) {
  bool frees = duplicate_left(r, fd, closed);
  if (likely((uint32_t)r.what == (RELEASE_MORE | RELEASE_ONE_OF_SEVERAL))) return;
  if (owned_second(r.what & 7)) end(r.page, owned_second(r.what & 7), frees);
  if (!(r.what & RELEASE_ONE_OF_SEVERAL)) end(r.page, BC_NUMFILE, frees);
  ranges_end(r, closed);
}

__attribute__((noinline)) void release_more_end(struct release r, int fd, bool closed) {
  uint16_t was = r.what & RELEASE_MORE ? release_word(r) : (uint16_t)r.what;
  unsigned what = was & 7, second = owned_second(what);
  bool frees = closed && what && was >> 3 == bc_page_generation(r.page);
  if (what && !closed) __atomic_store_n(owned_word(r.page, fd), was, __ATOMIC_RELEASE);
  if (closed && !frees) owned_unsure(r.page);
  if (second) end(r.page, second, frees);
  end(r.page, BC_NUMFILE, frees);
  ranges_end(r, closed);
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
  owned_set(c, fd, pty.page ? BC_OWNED_PTY : BC_OWNED_FILE);
  charge_end(pty, BC_NUMPTY, 0);
  charge_end(c, BC_NUMFILE, 0);
  return 0;
}
