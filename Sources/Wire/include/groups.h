// Descriptors of one process that are of one description: what dup makes. A process that knows how many it has of one knows
// which of its closes frees it.
#ifndef BEANCOUNTER_GROUPS_H
#define BEANCOUNTER_GROUPS_H

#include "wire.h"

// The word of a descriptor in a group is where the group is: a multiple of 8, so none of enum bc_owned. The group is one word,
// changed as a whole, behind the words of the descriptors:
//   bits 0 … 15   how many descriptors are in it, or about to be; 0: nobody's
//        16 … 18  enum bc_owned of the description; 0 where this process did not make it
//        19       others may have the description too: closing the last of the group frees it or does not
//        20 … 32  page.generation of when it was made
//        33 … 63  its turn: moves on whenever the group is put to use, so that what has been read of it before is stale
#define BC_GROUPS 512u // the first is never used
#define BC_GROUPS_AT (BC_OWNED_AT + BC_OWNED_SIZE)
_Static_assert(BC_MEMFD_SIZE == BC_GROUPS_AT + BC_GROUPS * sizeof(uint64_t), "the groups come last");
#define BC_GROUP_MOST 0xfff0u // descriptors
#define BC_GROUP_SHARED (UINT64_C(1) << 19)
#define BC_GROUP_TURN 33

static inline bool bc_word_is_group(uint16_t word) { return word && !(word & 7); }
static inline uint64_t *bc_group(struct bc_page *page, uint16_t word) {
  return (uint64_t *)(void *)((char *)page + BC_GROUPS_AT + (word & (BC_GROUPS - 1) * sizeof(uint64_t)));
}
static inline unsigned bc_group_count(uint64_t group) { return group & 0xffff; }
static inline unsigned bc_group_what(uint64_t group) { return group >> 16 & 7; }
static inline uint32_t bc_group_generation(uint64_t group) { return group >> 20 & BC_GENERATIONS; }
static inline uint64_t bc_group_of(uint64_t turn, uint32_t generation, unsigned what, bool shared, unsigned count) {
  return turn << BC_GROUP_TURN | (uint64_t)(generation & BC_GENERATIONS) << 20 | (shared ? BC_GROUP_SHARED : 0) |
         (uint64_t)(what & 7) << 16 | count;
}
// Its last descriptor, once closed, surely frees the description.
static inline bool bc_group_is_own(uint64_t group, uint32_t generation) {
  return bc_group_what(group) && !(group & BC_GROUP_SHARED) && bc_group_generation(group) == generation;
}

// Others may have the description from now on. What the descriptor was taken for until then: enum bc_owned.
static inline unsigned bc_owned_share(struct bc_page *page, uint32_t fd) {
  uint16_t *word = bc_owned_words(page) + fd % BC_OWNED_FDS, was = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  while (was) {
    if (bc_word_is_group(was)) {
      __atomic_fetch_or(bc_group(page, was), BC_GROUP_SHARED, __ATOMIC_SEQ_CST);
      uint16_t now = __atomic_load_n(word, __ATOMIC_SEQ_CST);
      if (now == was) return 0;
      was = now; // of another group, or alone, by now
    } else if (__atomic_compare_exchange_n(word, &was, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
      return was & 7;
    }
  }
  return 0;
}

// Changes with every call that duplicates a descriptor, when it begins and when it is over.
static inline uint64_t bc_page_duplicated(struct bc_page *page) { return __atomic_load_n(&page->duplicating, __ATOMIC_SEQ_CST); }
// It is in a group that nobody else has a part in.
static inline bool bc_word_is_own_group(struct bc_page *page, uint16_t word, uint32_t generation) {
  return bc_word_is_group(word) && bc_group_is_own(__atomic_load_n(bc_group(page, word), __ATOMIC_SEQ_CST), generation);
}

// Whether the process opened the descriptor itself, as far as the shim is sure.
static inline bool bc_page_owns(struct bc_page *page, int32_t fd) {
  if ((uint32_t)fd >= BC_OWNED_FDS) return false;
  uint16_t was = __atomic_load_n(bc_owned_words(page) + fd, __ATOMIC_SEQ_CST);
  if (!bc_word_is_group(was)) return was != 0;
  return bc_group_what(__atomic_load_n(bc_group(page, was), __ATOMIC_SEQ_CST)) != 0;
}

#endif
