#define _GNU_SOURCE
#include "ranges.h"

#include "owned.h"
#include "raw.h"

#include <fcntl.h>
#include <sys/stat.h>

#define table (&member.ranges)

// Another thread holds it for less than a microsecond; a handler that interrupted this thread would wait for ever.
static bool hold(void) {
  for (int i = 0; i < 2000; i++)
    if (!__atomic_exchange_n(&table->busy, 1, __ATOMIC_ACQUIRE)) return true;
  return false;
}

static void let_go(void) { __atomic_store_n(&table->busy, 0, __ATOMIC_RELEASE); }

static void show(struct bc_page *page) {
  bool held = table->count > 0 || table->last.owner, shown = __atomic_load_n(&page->generation, __ATOMIC_RELAXED) & BC_RANGES_HELD;
  if (held && !shown) __atomic_fetch_or(&page->generation, BC_RANGES_HELD, __ATOMIC_SEQ_CST);
  if (!held && shown) __atomic_fetch_and(&page->generation, ~BC_RANGES_HELD, __ATOMIC_SEQ_CST);
}

// Their units stay charged until a recount. Works without the table in hand: whoever has it looks at `loose`.
static void lose(struct bc_page *page) {
  __atomic_store_n(&table->loose, 1, __ATOMIC_SEQ_CST);
  uncertain(page, BC_NUMFLOCK);
}

static bool is_loose(struct bc_page *page) {
  return __atomic_load_n(&table->loose, __ATOMIC_SEQ_CST) || __atomic_load_n(&page->flags, __ATOMIC_RELAXED) & BC_ANSWER_LOCKED;
}

// Files are told apart by device and inode: those of a descriptor that something is locked through are known.
static bool identify(struct bc_page *page, struct range *r) {
  const struct range *known = table->last.owner && table->last.fd == r->fd ? &table->last : NULL;
  for (int i = 0; !known && i < table->count; i++)
    if (table->of[i].fd == r->fd) known = &table->of[i];
  if (known) {
    r->device = known->device;
    r->inode = known->inode;
    return true;
  }
  // Every close from here on is seen, so that what fstat says goes on being so.
  table->last = (struct range){.fd = r->fd, .owner = RANGE_PROCESS};
  show(page);
  struct stat info;
  if (RAW(SYS_fstat, r->fd, &info) < 0) return table->last.owner = 0, false;
  table->last.device = r->device = info.st_dev;
  table->last.inode = r->inode = info.st_ino;
  return true;
}

static bool same_owner(const struct range *a, const struct range *b) {
  return a->owner == b->owner && a->device == b->device && a->inode == b->inode &&
         (a->owner == RANGE_PROCESS || a->fd == b->fd);
}

static bool touches(const struct range *a, const struct range *b) {
  return a->start <= (b->end == INT64_MAX ? INT64_MAX : b->end + 1) && b->start <= (a->end == INT64_MAX ? INT64_MAX : a->end + 1);
}

static void forget_dead(void) {
  int kept = 0;
  for (int i = 0; i < table->count; i++)
    if (table->of[i].owner) table->of[kept++] = table->of[i];
  table->count = kept;
}

// As the kernel does it (POSIX: "if the section overlaps an earlier one of this process, the old type gives way"): records of
// the same type that touch become one, those of another are cut. How many more there are afterwards.
static int64_t apply(const struct range *request, bool commit) {
  struct range whole = *request, split = {0};
  bool unlock = request->type == F_UNLCK;
  int64_t more = unlock ? 0 : 1;
  for (int i = 0; i < table->count; i++) {
    struct range *x = &table->of[i];
    if (!same_owner(x, request)) continue;
    if (!unlock && x->type == request->type) {
      if (!touches(x, request)) continue;
      if (x->start < whole.start) whole.start = x->start;
      if (x->end > whole.end) whole.end = x->end;
      more--;
      if (commit) x->owner = 0;
    } else if (x->start <= request->end && request->start <= x->end) {
      bool left = x->start < request->start, right = x->end > request->end;
      more += left + right - 1;
      if (!commit) continue;
      if (left && right) split = *x, split.start = request->end + 1;
      if (left) x->end = request->start - 1;
      else if (right) x->start = request->end + 1;
      else x->owner = 0;
    }
  }
  if (commit) {
    forget_dead();
    if (!unlock) table->of[table->count++] = whole;
    if (split.owner) table->of[table->count++] = split;
  }
  return more;
}

static uint32_t *turn_of(const struct range *r) {
  return &table->turns[(r->inode ^ r->device) % RANGE_TURNS];
}

struct range_request ranges_begin(struct bc_page *page, struct range range) {
  struct range_request r = {.range = range, .more = range.type == F_UNLCK ? 0 : 1};
  // A description that others may have too is locked and unlocked by them as well.
  bool alone = range.owner == RANGE_PROCESS || owned_what(page, range.fd);
  if (is_loose(page) || !alone || range.end < range.start || !hold()) return r;
  if (table->count + 2 <= RANGES && identify(page, &r.range)) {
    r.more = apply(&r.range, false);
    r.turn = ++*turn_of(&r.range);
    r.sure = true;
  }
  let_go();
  return r;
}

bool ranges_done(struct bc_page *page, const struct range_request *r) {
  if (!r->sure || is_loose(page) || !hold()) return lose(page), false;
  // Two requests for one file at once: which came first is the kernel's secret.
  bool sure = *turn_of(&r->range) == r->turn && table->count + 2 <= RANGES;
  if (sure) {
    apply(&r->range, true);
    ++*turn_of(&r->range);
    show(page);
  }
  let_go();
  if (!sure) lose(page);
  return sure;
}

unsigned ranges_closing(struct bc_page *page, int fd, bool alone) {
  struct range closed = {.fd = fd};
  unsigned gone = 0;
  if (is_loose(page) || !hold()) return lose(page), 0;
  if (table->count > 0 && identify(page, &closed)) {
    for (int i = 0; i < table->count; i++) {
      struct range *x = &table->of[i];
      bool its = x->owner == RANGE_PROCESS ? x->device == closed.device && x->inode == closed.inode : x->fd == fd;
      if (!its) continue;
      if (x->owner == RANGE_PROCESS || alone) gone++;
      else uncertain(page, BC_NUMFLOCK); // its description may live on
      x->owner = 0;
    }
    forget_dead();
  }
  table->last.owner = 0;
  show(page);
  let_go();
  return gone;
}
