#define _GNU_SOURCE
#include "lease.h"

#include "credit.h"
#include "inject.h"
#include "raw.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

// Other threads may be as quick to use the room that was made: so often it is asked again. Where something else refuses, that is
// what finding out costs.
enum { MAX_ROUNDS = 64, MAX_UNCHANGED = 16 };
// More than any address space has without being asked for it by name: the kernel refuses that, whatever the lease.
static const int64_t ADDRESS_SPACE = INT64_C(1) << 48;

// What the program set itself; −1 never. Carried over exec by the server, over fork by the copy of memory.
static int64_t own_limit = -1;

static bool leased(struct bc_page *page) {
  return page && __atomic_load_n(&page->flags, __ATOMIC_RELAXED) & BC_ANSWER_LEASED;
}

enum growth { REFUSED, UNCHANGED, GROWN };

static enum growth grow(struct lease_try *t, unsigned flags) {
  struct bc_request request = {
      .kind = BC_MEMORY, .resource = BC_PRIVVMPAGES, .severity = (uint8_t)t->severity, .amount = t->least, .want = t->want,
      .flags = (uint16_t)flags};
  struct bc_answer answer;
  ask_about(&request, (struct about){.call = t->call, .numbers = t->numbers});
  if (ask(&request, &answer, NULL) != ASK_ANSWERED || answer.error) return REFUSED;
  return answer.flags & BC_ANSWER_UNCHANGED ? UNCHANGED : GROWN;
}

__attribute__((noinline, cold)) bool lease_grow(struct lease_try *t) {
  if (inject_refused()) return false;
  struct bc_page *page = member_page();
  if (!leased(page) || t->rounds++ >= MAX_ROUNDS || (t->rounds == 1 && t->want >= ADDRESS_SPACE)) return false;
  enum growth more = grow(t, t->flags);
  if (more == REFUSED) return false;
  // There is room now: the lease grew since the kernel refused (joining does that), or it wants more than we guessed
  // (1 MiB where the break cannot grow, a heap of its own for a thread), or something else refused.
  if (more == UNCHANGED && t->unchanged++ >= MAX_UNCHANGED) return false;
  // malloc asks the kernel for more than it was asked for (M_TOP_PAD, arenas of a MiB): guess upwards.
  if (t->least != t->want && t->want < INT64_MAX / 4) t->want *= 2;
  inject_again(t->call);
  return true;
}

void lease_ahead(int64_t bytes, const char *call) {
  struct bc_page *page = member_page();
  if (!leased(page)) return;
  // Nothing is asked where there is room: a mapping that fits says so. It is not made where all mappings are filled at once
  // (mlockall).
  if (bc_load(&bc_page_cell(page, BC_LOCKEDPAGES)->granted) == 0) {
    long at = RAW(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at > 0 || at < -4095) return (void)RAW(SYS_munmap, at, bytes);
  }
  struct lease_try t = {.call = call, .least = 0, .want = 2 * bytes}; // for the next ones too
  grow(&t, 0);
}

bool lease_in_force(void) { return leased(member_page()); }

bool lease_hides(struct rlimit *shown) {
  if (!leased(member_page())) return false;
  shown->rlim_cur = own_limit >= 0 && (rlim_t)own_limit < shown->rlim_max ? (rlim_t)own_limit : shown->rlim_max;
  return true;
}

void lease_own_limit_is(int64_t bytes) {
  if (bytes >= 0) own_limit = bytes; // a server that came back does not know it
}

int lease_own_limit(const struct rlimit *given) {
  struct bc_page *page = member_page();
  if (!leased(page)) return -1;
  struct rlimit now, own, *set = &own;
  if (!copied(set, given, sizeof own)) return EFAULT;
  if (RAW(SYS_prlimit64, 0, RLIMIT_DATA, 0, &now) < 0) return EPERM;
  if (set->rlim_cur > set->rlim_max) return EINVAL;
  struct rlimit next = {.rlim_cur = now.rlim_cur < set->rlim_cur ? now.rlim_cur : set->rlim_cur, .rlim_max = set->rlim_max};
  long error = RAW(SYS_prlimit64, 0, RLIMIT_DATA, &next, 0);
  if (error < 0) return (int)-error;
  own_limit = set->rlim_cur == RLIM_INFINITY ? -1 : (int64_t)set->rlim_cur;
  struct bc_request request = {.kind = BC_OWN_LIMIT, .resource = BC_PRIVVMPAGES, .amount = own_limit};
  struct bc_answer answer;
  ask(&request, &answer, NULL);
  return 0;
}
