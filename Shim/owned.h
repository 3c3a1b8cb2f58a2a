// Which descriptors are surely this process's alone: it made them, and no dup and no fork has shared them since. Closing
// such a one gives its charge back, and so does closing the last of those that dup made of one (groups.h); closing any other may
// or may not free a description, which only a recount knows.
#ifndef SHIM_OWNED_H
#define SHIM_OWNED_H

#include "credit.h"
#include "groups.h"

#include <errno.h>
#include <string.h>

static inline uint16_t *owned_word(struct bc_page *page, int fd) {
  return (unsigned)fd < BC_OWNED_FDS ? (uint16_t *)((char *)page + BC_OWNED_AT) + fd : NULL;
}

// A descriptor about to be closed, by whatever call closes it.
struct release {
  struct bc_page *page;
  // In one word, to stay in a register. A plain file: the word of its descriptor, which is page.generation << 3 | BC_OWNED_FILE
  // still when no child can have it. Else RELEASE_MORE | enum bc_owned, 0 when not sure | RELEASE_… | how many locked byte ranges
  // go with it * RELEASE_RANGES | its word << RELEASE_WORD | of one in a group, the low bits of the group's turn << RELEASE_TURN.
  uint64_t what;
};
enum {
  RELEASE_ONE_OF_SEVERAL = 8, // of one description: nothing is freed
  RELEASE_LAST_OF_SEVERAL = 16,
  RELEASE_RANGES = 32,
  RELEASE_WORD = 32,
  RELEASE_TURN = 48,
};
#define RELEASE_MORE UINT64_C(0x80000000)
static inline uint16_t release_word(struct release r) { return (uint16_t)(r.what >> RELEASE_WORD); }

// The rest of release_begin and release_end: what is charged to a second row or not surely ours, and what is in a group.
// `was`: the word, which is taken already.
struct release release_more(struct bc_page *page, int fd, uint16_t was);
struct release release_grouped(struct bc_page *page, int fd, uint16_t was);
void release_more_end(struct release r, int fd, bool closed);
void release_grouped_end(struct release r, int fd, bool closed);

static inline uint16_t owned_as(struct bc_page *page, unsigned what) {
  return (uint16_t)(__atomic_load_n(&page->generation, __ATOMIC_SEQ_CST) << 3 | what);
}

// What was charged for is there. A child that was forked since it was charged may have it too: then it is of a generation that
// is over.
static inline void owned_set(struct charge c, int fd, unsigned what) {
  uint16_t *word = owned_word(c.page, fd);
  // No thread but ours knows of the number yet, and the charge ends with a full barrier.
  if (likely(word != NULL)) __atomic_store_n(word, (uint16_t)(c.generation << 3 | what), __ATOMIC_RELEASE);
}

// What it is; 0 when that is not sure.
static inline unsigned owned_what(struct bc_page *page, int fd) {
  uint16_t *word = owned_word(page, fd);
  uint16_t is = word ? __atomic_load_n(word, __ATOMIC_SEQ_CST) : 0;
  return is == owned_as(page, is & 7) ? is & 7 : 0;
}

// From one sure state to another; false when it was not in the first, or is shared by now.
static inline bool owned_change(struct bc_page *page, int fd, unsigned from, unsigned to) {
  uint16_t *word = owned_word(page, fd), was = owned_as(page, from);
  return word && __atomic_compare_exchange_n(word, &was, owned_as(page, to), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

// Its word, which is nobody's from now on.
static inline uint16_t owned_take(struct bc_page *page, int fd) {
  uint16_t *word = owned_word(page, fd);
  if (unlikely(word == NULL) || unlikely(!__atomic_load_n(word, __ATOMIC_RELAXED))) return 0;
  return __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST);
}

// The row that a descriptor is charged to beside numfile.
static inline unsigned owned_second(unsigned what) {
  static const uint8_t second[8] = {
      [BC_OWNED_TCP] = BC_NUMTCPSOCK,      [BC_OWNED_OTHER] = BC_NUMOTHERSOCK, [BC_OWNED_PTY] = BC_NUMPTY,
      [BC_OWNED_INOTIFY] = BC_NUMINOTIFY, [BC_OWNED_FLOCKED] = BC_NUMFLOCK,
  };
  return second[what & 7];
}

static inline void uncertain(struct bc_page *page, unsigned resource) {
  __atomic_store_n(&bc_page_cell(page, resource)->uncertain, 1, __ATOMIC_SEQ_CST);
}

// The server is to look at its descriptors again.
static inline void not_alone(struct bc_page *page) { __atomic_store_n(&page->alone, 0, __ATOMIC_SEQ_CST); }

// It is no longer surely ours alone.
static inline void owned_share(struct bc_page *page, int fd) {
  uint16_t *word = owned_word(page, fd);
  if (!word || !__atomic_load_n(word, __ATOMIC_ACQUIRE)) return; // it was not
  if (unlikely(bc_owned_share(page, (uint32_t)fd) == BC_OWNED_FLOCKED)) uncertain(page, BC_NUMFLOCK);
  not_alone(page);
}

// A lock goes with its description: closing the last of several is no longer sure to free just that.
static inline void owned_locked(struct bc_page *page, int fd) {
  uint16_t *word = owned_word(page, fd);
  if (word && bc_word_is_group(__atomic_load_n(word, __ATOMIC_SEQ_CST))) bc_owned_share(page, (uint32_t)fd);
}

// It may have been the last of a shared description: what it was is now an upper estimate.
void owned_unsure(struct bc_page *page);

static inline struct release release_of(struct bc_page *page, int fd) {
  uint16_t was = owned_take(page, fd);
  uint64_t generation = __atomic_load_n(&page->generation, __ATOMIC_SEQ_CST);
  if (unlikely(was != (generation << 3 | BC_OWNED_FILE)))
    return bc_word_is_group(was) ? release_grouped(page, fd, was) : release_more(page, fd, was);
  __atomic_fetch_add(&bc_page_cell(page, BC_NUMFILE)->pending, 1, __ATOMIC_SEQ_CST);
  return (struct release){page, was};
}

static inline struct release release_begin(int fd) {
  struct bc_page *page = member_joined();
  return likely(page != NULL) ? release_of(page, fd) : (struct release){0};
}

// `closed`: the descriptor is gone. Linux frees it whatever close answers, but for EBADF.
static inline void release_end(struct release r, int fd, bool closed) {
  if (unlikely(r.page == NULL)) return;
  // A fork begins with another generation: what was closed before, no child has.
  uint64_t generation = __atomic_load_n(&r.page->generation, __ATOMIC_SEQ_CST);
  if (unlikely(r.what != (generation << 3 | BC_OWNED_FILE)) || unlikely(!closed))
    return bc_word_is_group(release_word(r)) ? release_grouped_end(r, fd, closed) : release_more_end(r, fd, closed);
  struct bc_cell *files = bc_page_cell(r.page, BC_NUMFILE);
  credit_give(files, 1);
  credit_settle(files);
}

// After a call that makes one file: its descriptor, or −1.
static inline void file_made(struct charge c, int fd) {
  if (likely(c.page != NULL) && likely(fd >= 0)) owned_set(c, fd, BC_OWNED_FILE);
  charge_end(c, BC_NUMFILE, fd < 0);
}

// A descriptor that is charged to two rows, numfile and another.
struct charge_pair {
  struct charge kind, file;
  unsigned what;
};

static inline int pair_begin(struct charge_pair *p, unsigned what, int64_t n, int refusal, const char *call, int64_t a,
                             int64_t b) {
  p->what = what;
  p->kind = charge_begin_with(owned_second(what), n, refusal, call, a, b);
  if (unlikely(p->kind.error)) return p->kind.error;
  p->file = charge_begin_with(BC_NUMFILE, n, ENFILE, call, a, b);
  if (unlikely(p->file.error)) charge_end(p->kind, owned_second(what), n);
  return p->file.error;
}

// The n descriptors, where they were made.
static inline void pair_end(struct charge_pair *p, const int *fds, int64_t n, bool made) {
  // Owned only with both units: a release gives both back.
  if (made && p->file.page && p->kind.page)
    for (int64_t i = 0; i < n; i++) owned_set(p->file, fds[i], p->what);
  charge_end(p->file, BC_NUMFILE, made ? 0 : n);
  charge_end(p->kind, owned_second(p->what), made ? 0 : n);
}

// A path that was opened may have been /dev/ptmx or /dev/pts/ptmx, or a view. It could be opened, so it can be read:
// before the call a bad pointer would be for the kernel to refuse (EFAULT). Bytes behind its end are looked at within its
// page.
static inline bool may_be_special(const char *path) {
  if (unlikely((unsigned)((uintptr_t)path & (LOOK_PAGE - 1)) >= look_from)) return true;
  uint32_t bytes;
  memcpy(&bytes, path + 3, sizeof bytes);
  return unlikely(bytes == (uint32_t)('v' | '/' << 8 | 'p' << 16 | 't' << 24));
}

static inline bool is_pty_path(const char *path) { return strnlen(path, 7) == 7 && memcmp(path + 3, "v/pt", 4) == 0; }

// Charges one that was opened to numpty too, if it is a master. 0, or the errno to refuse with: then the descriptor is to be
// closed, and the charge to be ended, by whoever opened it.
int opened_pty(struct charge c, int fd, const char *call, const char *path);

#endif
