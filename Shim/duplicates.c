#include "duplicates.h"

static uint64_t load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
static bool change(uint64_t *word, uint64_t *was, uint64_t to) {
  return __atomic_compare_exchange_n(word, was, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static uint64_t turn_of(uint64_t group) { return group >> BC_GROUP_TURN; }

// Puts one to use that is nobody's; none where that is not found quickly.
static struct group take_group(struct bc_page *page, unsigned what, bool shared, uint32_t generation) {
  uint64_t begun = load(&page->duplicating) >> DUPLICATE_BEGUN; // another place each time
  for (unsigned i = 0; i < 8; i++) {
    uint16_t word = (uint16_t)((1 + (begun + i) % (BC_GROUPS - 1)) << 3);
    uint64_t *at = bc_group(page, word), was = load(at), now = bc_group_of(turn_of(was) + 1, generation, what, shared, 2);
    if (!bc_group_count(was) && change(at, &was, now)) return group_at(word, now);
  }
  return (struct group){0};
}

// A group for a descriptor that was in none, and its copy.
static struct group found(struct bc_page *page, uint16_t *word, uint16_t was) {
  uint32_t generation = bc_page_generation(page);
  unsigned what = was & 7;
  // What a fork copied, what came from outside, and what has a lock that goes with it: only that the last is not known.
  bool shared = !what || was >> 3 != generation || what == BC_OWNED_FLOCKED;
  if (what == BC_OWNED_WATCHED || what == BC_OWNED_FLOCKED) what = BC_OWNED_FILE;
  struct group made = take_group(page, what, shared, generation);
  uint16_t seen = was;
  if (!made.word || __atomic_compare_exchange_n(word, &seen, made.word, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    if (unlikely((was & 7) == BC_OWNED_FLOCKED)) uncertain(page, BC_NUMFLOCK);
    if (shared && was) not_alone(page);
    return made;
  }
  group_leave(page, made), group_leave(page, made);
  return (struct group){0};
}

__attribute__((noinline)) struct group duplicate_group(struct bc_page *page, int fd) {
  uint16_t *word = owned_word(page, fd);
  for (int i = 0; word && i < 4; i++) {
    uint16_t was = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    struct group one = bc_word_is_group(was) ? group_join(page, word, was) : found(page, word, was);
    if (one.word) return one;
  }
  owned_share(page, fd);
  return (struct group){0};
}

// No copy is in the group after all. Nobody may have seen that it was the last.
static void undo(struct duplicate d) {
  if (d.group.word && bc_group_count(group_leave(d.page, d.group)) <= 1) owned_unsure(d.page);
}

__attribute__((noinline)) void duplicate_lose(struct duplicate d, int old, int copy, bool stored) {
  if (copy < 0) return undo(d);
  if (d.group.word) __atomic_fetch_or(bc_group(d.page, d.group.word), BC_GROUP_SHARED, __ATOMIC_SEQ_CST);
  owned_share(d.page, old);
  uint16_t *word = owned_word(d.page, copy), was = stored ? d.group.word : word ? __atomic_load_n(word, __ATOMIC_SEQ_CST) : 0;
  bool taken = was && __atomic_compare_exchange_n(word, &was, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  // Where another thread was quicker to close it, it has left the group for it.
  if (!stored || taken) undo(d);
  if (stored || !taken) return;
  // Somebody closed it unseen, and it was another file's still.
  if (bc_word_is_group(was)) group_leave(d.page, group_at(was, load(bc_group(d.page, was))));
  owned_unsure(d.page);
}

bool duplicate_left_last(struct release r, uint64_t group) {
  // Several were closed at once, and none knew to be the last; or it was shared, or a fork came between.
  uint32_t generation = bc_page_generation(r.page);
  bool frees = r.what & 7 && bc_group_is_own(group, generation);
  if (!frees) owned_unsure(r.page);
  return frees;
}

unsigned duplicate_leaves_with_others(struct bc_page *page, uint16_t was) {
  uint32_t generation = bc_page_generation(page);
  uint64_t *at = bc_group(page, was), group = load(at), to;
  do {
    if (!bc_group_count(group)) return 0;
    // Nobody else is to take itself for the last before the range is closed.
    to = bc_group_count(group) > 1 ? (group - 1) | BC_GROUP_SHARED : group - 1;
  } while (!change(at, &group, to));
  return bc_group_count(group) == 1 && bc_group_is_own(group, generation) ? bc_group_what(group) : 0;
}

void duplicates_forget(struct bc_page *page) {
  for (unsigned i = 1; i < BC_GROUPS; i++) {
    uint64_t *at = bc_group(page, (uint16_t)(i << 3)), was = load(at);
    while (bc_group_count(was) && !change(at, &was, bc_group_of(turn_of(was) + 1, 0, 0, true, 0))) {}
  }
}
