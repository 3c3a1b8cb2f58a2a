// Descriptors that a process duplicates: which are of one description, so that it is known which close frees it (groups.h).
#ifndef SHIM_DUPLICATES_H
#define SHIM_DUPLICATES_H

#include "owned.h"

// A group, at one of its turns, of which the low bits are enough here.
struct group {
  uint16_t word, turn;
};
static inline struct group group_at(uint16_t word, uint64_t group) {
  return (struct group){word, (uint16_t)(group >> BC_GROUP_TURN)};
}

// One fewer in it. What the group was before; 0 where it is another's by now.
static inline uint64_t group_leave(struct bc_page *page, struct group one) {
  uint64_t *at = bc_group(page, one.word), group = __atomic_load_n(at, __ATOMIC_SEQ_CST);
  do {
    if (unlikely((uint16_t)(group >> BC_GROUP_TURN) != one.turn || !bc_group_count(group))) return 0;
  } while (!likely(__atomic_compare_exchange_n(at, &group, group - 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)));
  return group;
}

// One more in the group of a descriptor; none when it is another's by now, or full.
static inline struct group group_join(struct bc_page *page, const uint16_t *word, uint16_t was) {
  uint64_t *at = bc_group(page, was), group = __atomic_load_n(at, __ATOMIC_SEQ_CST);
  // In this order: that it was the descriptor's group after it was read makes it the one that is joined.
  bool joined = likely(bc_group_count(group) - 1 < BC_GROUP_MOST) && likely(__atomic_load_n(word, __ATOMIC_SEQ_CST) == was) &&
                likely(__atomic_compare_exchange_n(at, &group, group + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  return joined ? group_at(was, group) : (struct group){0};
}

// A call that duplicates a descriptor, under way. They are counted meanwhile: two at once may be about the same number (dup2
// over one that another thread duplicates), and which came first is the kernel's secret. Then nothing is taken for known.
struct duplicate {
  struct bc_page *page;
  uint32_t turn;      // of page.duplicating; 0: another such call is under way
  struct group group; // of the old one, where the new one is counted there already; its word is 0 where that cannot be known
};
enum { DUPLICATE_BEGUN = 16 }; // from this bit on

// The group of one that was in none, as a rule.
struct group duplicate_group(struct bc_page *page, int old);
// The copy, if there is one, is in no group: of whatever description it is, others of this process may be too. `stored`: its
// word says otherwise.
void duplicate_lose(struct duplicate d, int old, int copy, bool stored);

// Before there is a copy that a count could find beside one that is surely alone.
static inline struct duplicate duplicate_begin(int old) {
  struct bc_page *page = member_joined();
  if (unlikely(!page)) return (struct duplicate){0};
  uint64_t before = __atomic_fetch_add(&page->duplicating, (UINT64_C(1) << DUPLICATE_BEGUN) + 1, __ATOMIC_SEQ_CST);
  uint32_t turn = likely(!(before & 0xffff)) ? (uint32_t)(before >> DUPLICATE_BEGUN) + 1 : 0;
  uint16_t *word = owned_word(page, old), was = likely(word != NULL) ? __atomic_load_n(word, __ATOMIC_SEQ_CST) : 0;
  struct group one = likely(bc_word_is_group(was)) ? group_join(page, word, was) : (struct group){0};
  return (struct duplicate){page, turn, likely(one.word) ? one : duplicate_group(page, old)};
}

// With the copy, or −1.
static inline void duplicate_end(struct duplicate d, int old, int copy) {
  if (unlikely(!d.page)) return;
  uint16_t *word = owned_word(d.page, copy);
  // libc may have closed the number's last owner by itself: then it has a word still.
  bool known = likely(d.group.word) && likely(d.turn) && likely(word != NULL) && likely(!__atomic_load_n(word, __ATOMIC_RELAXED)) &&
               likely(__atomic_load_n(bc_owned_words(d.page) + old, __ATOMIC_SEQ_CST) == d.group.word);
  if (likely(known)) __atomic_store_n(word, d.group.word, __ATOMIC_RELEASE);
  uint64_t was = __atomic_fetch_sub(&d.page->duplicating, 1, __ATOMIC_SEQ_CST);
  if (unlikely(!known) || unlikely((uint32_t)(was >> DUPLICATE_BEGUN) != d.turn)) duplicate_lose(d, old, copy, known);
}

// The halves of a release where the word names a group. What it is, for struct release; and whether it has freed the
// description.
static inline struct group release_group(struct release r) {
  return (struct group){(uint16_t)(r.what >> RELEASE_WORD), (uint16_t)(r.what >> RELEASE_TURN)};
}
static inline uint64_t duplicate_leaves(struct bc_page *page, uint16_t was, uint32_t generation) {
  uint64_t group = __atomic_load_n(bc_group(page, was), __ATOMIC_SEQ_CST);
  if (unlikely(!bc_group_count(group))) return 0;
  uint64_t where = (uint64_t)was << RELEASE_WORD | group >> BC_GROUP_TURN << RELEASE_TURN;
  if (likely(bc_group_count(group) > 1)) return where | RELEASE_ONE_OF_SEVERAL;
  return where | RELEASE_LAST_OF_SEVERAL | (bc_group_is_own(group, generation) ? bc_group_what(group) : 0);
}
// The rest, where it was the last.
bool duplicate_left_last(struct release r, uint64_t group);
static inline bool duplicate_left(struct release r, int fd, bool closed) {
  struct group one = release_group(r);
  if (unlikely(!closed)) return __atomic_store_n(owned_word(r.page, fd), one.word, __ATOMIC_SEQ_CST), false;
  uint64_t group = group_leave(r.page, one);
  return unlikely(bc_group_count(group) <= 1) && duplicate_left_last(r, group);
}

// One that is about to be closed with a range of others. What it surely frees, as enum bc_owned.
unsigned duplicate_leaves_with_others(struct bc_page *page, uint16_t was);

// All groups are nobody's: their words are wiped.
void duplicates_forget(struct bc_page *page);

#endif
