#define _GNU_SOURCE
#include "member.h"

#include "ask.h"
#include "duplicates.h"
#include "images.h"
#include "lease.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

struct member_block member_block __attribute__((aligned(4096), section(".bss.wiped")));
_Static_assert(sizeof(struct member_block) == 4096, "the wipe takes a page of its own");
_Thread_local int in_vfork_child __attribute__((tls_model("initial-exec")));
static bool wiped; // by the kernel, in every child
enum standing standing;
uint32_t known_flags;
int32_t muted;
static struct bc_page *spares; // of the first of the family that was muted: mapped in all that it forks
unsigned look_from = LOOK_PAGE - LOOK_BYTES + 1;
char server_path[108];
uint64_t member_token[2];

// Kept from the start: nginx, sshd and others overwrite environ in place. "NAME=value", as an environment has them.
static char kept_server[128], kept_token[48], kept_shim[512], kept_preload[1024], kept_loss[32], kept_inject[16];
static char *const kept[] = {kept_server, kept_token, kept_shim, kept_loss, kept_inject};
static bool begins(const char *entry, const char *prefix, size_t n) { return strncmp(entry, prefix, n) == 0; }

static const char *find(char *const env[], const char *named, size_t n) {
  for (char *const *e = env; e && *e; e++)
    if (begins(*e, named, n)) return *e;
  return NULL;
}

static bool token_read(const char *hex, uint64_t token[2]) {
  token[0] = token[1] = 0;
  for (int i = 0; i < 32; i++) {
    char c = hex[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return false;
    token[i / 16] = token[i / 16] << 4 | (unsigned)digit;
  }
  return hex[32] == 0;
}

static bool keep(char *to, size_t size, const char *name, const char *value) {
  size_t n = strlen(name), v = strlen(value);
  if (n + v + 2 > size) return false;
  memcpy(to, name, n);
  to[n] = '=';
  memcpy(to + n + 1, value, v + 1);
  return true;
}

// The environment as the kernel laid it out, above the arguments: in a program's .preinit_array libc has none yet.
extern void *__libc_stack_end __attribute__((weak));
static const char *variable(const char *named) {
  char **env = environ;
  if (!env && &__libc_stack_end) env = (char **)__libc_stack_end + 1 + *(long *)__libc_stack_end + 1;
  const char *entry = find(env, named, strlen(named));
  return entry ? entry + strlen(named) : NULL;
}

bool member_injects(void) {
  static int known; // 1 no, 2 yes
  if (!known) {
    const char *inject = variable("BC_INJECT=");
    known = inject && inject[0] == '1' ? 2 : 1;
  }
  return known == 2;
}

static void start(void) {
  const char *disable = variable("BC_DISABLE="), *server = variable("BC_SERVER="), *token = variable("BC_TOKEN=");
  const char *shim = variable("BC_SHIM="), *loss = variable("BC_ON_SERVER_LOSS="), *inject = variable("BC_INJECT=");
  standing = STANDING_OUTSIDE;
  if ((disable && disable[0] == '1') || !server || !token || !token_read(token, member_token)) return;
  if (!keep(kept_server, sizeof kept_server, "BC_SERVER", server) || strlen(server) >= sizeof server_path) return;
  keep(kept_token, sizeof kept_token, "BC_TOKEN", token);
  if (shim) keep(kept_shim, sizeof kept_shim, "BC_SHIM", shim);
  if (loss) keep(kept_loss, sizeof kept_loss, "BC_ON_SERVER_LOSS", loss);
  if (inject) keep(kept_inject, sizeof kept_inject, "BC_INJECT", inject);
  if (shim) keep(kept_preload, sizeof kept_preload, "LD_PRELOAD", shim);
  strcpy(server_path, server);
  standing = STANDING_INSIDE;
}

__attribute__((constructor(101))) static void started(void) {
  if (standing == STANDING_UNKNOWN) start();
  if (standing != STANDING_INSIDE) return;
  // The page comes with the first charge: a program that charges nothing says nothing. But that it is loaded can be seen.
  struct rlimit lease;
  if (RAW(SYS_prlimit64, 0, RLIMIT_DATA, 0, &lease) < 0 || !bc_lease_is(lease.rlim_cur)) return;
  bool asked = lease.rlim_cur & BC_LEASE_HELLO;
  lease.rlim_cur = bc_lease_word(lease.rlim_cur, BC_LEASE_LOADED);
  if (asked || RAW(SYS_prlimit64, 0, RLIMIT_DATA, &lease, 0) < 0) {
    struct image own = {.path = (const char *)getauxval(AT_EXECFN), .env = environ};
    struct bc_request hello = {
        .kind = BC_HELLO, .parent = (int32_t)RAW(SYS_getppid, 0), .want = (int64_t)image_key(&own)};
    struct bc_answer answer;
    ask(&hello, &answer, NULL); // waited for: it is looked at how much memory the loader has taken
  }
}

static struct bc_page *map_page(int fd) {
  long at = RAW(SYS_mmap, 0, BC_MEMFD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  RAW(SYS_close, fd);
  if (at < 0 && at > -4096) return NULL;
  // A child has a page of its own, or none: it must never spend its parent's credit.
  RAW(SYS_madvise, at, BC_MEMFD_SIZE, MADV_DONTFORK);
  return (struct bc_page *)at;
}

// By the socket: the answer brings it.
static struct bc_page *sent_page(struct bc_answer *answer) {
  struct bc_request request = {.kind = BC_JOIN, .parent = (int32_t)RAW(SYS_getppid, 0)};
  int fd = -1;
  return ask(&request, answer, &fd) == ASK_ANSWERED && fd >= 0 ? map_page(fd) : NULL;
}

static struct bc_page *claim_spare(void) {
  for (unsigned i = 0; spares && i < BC_SPARES; i++)
    if (bc_cas32(bc_page_claimed(bc_page_spare(spares, i)), 0, 1)) return bc_page_spare(spares, i);
  return NULL;
}

// The page, and behind it a table of descriptors of its own, as in a memfd.
static struct bc_page *lay_out(struct bc_page *spare) {
  long at = RAW(SYS_mmap, 0, BC_MEMFD_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at < 0 && at > -4096) return NULL;
  // From an old length of 0, shared pages are mapped a second time (mremap(2)).
  if (RAW(SYS_mremap, spare, 0, BC_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at &&
      RAW(SYS_mmap, at + BC_OWNED_AT, BC_MEMFD_SIZE - BC_OWNED_AT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) > 0) {
    RAW(SYS_madvise, at, BC_MEMFD_SIZE, MADV_DONTFORK);
    return (struct bc_page *)at;
  }
  RAW(SYS_munmap, at, BC_MEMFD_SIZE);
  return NULL;
}

// Of a child that nobody can send one: a spare of its family, and the mailbox in it.
static struct bc_page *spare_page(struct bc_answer *answer) {
  struct bc_page *spare = claim_spare(), *page = spare ? lay_out(spare) : NULL;
  struct bc_request request = {.kind = BC_JOIN, .parent = (int32_t)RAW(SYS_getppid, 0)};
  if (page) *bc_page_muted(page) = muted;
  if (page && ask_by_mail(page, &request, answer) == ASK_ANSWERED) return page;
  if (spares) bc_exchange32(bc_page_out_of_spares(bc_page_spare(spares, 0)), 1);
  if (page) RAW(SYS_munmap, page, BC_MEMFD_SIZE);
  if (spare) bc_exchange32(bc_page_claimed(spare), 0);
  return NULL;
}

__attribute__((noinline, cold)) struct bc_page *member_join(void) {
  if (standing == STANDING_UNKNOWN) start(); // somebody's constructor, or .preinit_array
  if (standing != STANDING_INSIDE) return NULL;
  sigset_t mask;
  ask_block_signals(&mask);
  // Here and not at the start: it makes two mappings of one, and most images never join.
  wiped = RAW(SYS_madvise, &member_block, sizeof member_block, MADV_WIPEONFORK) == 0;
  // Another thread may be joining: it is quick, or the server is gone and both find out.
  while (__atomic_exchange_n(&member.joining, 1, __ATOMIC_ACQUIRE)) RAW(SYS_sched_yield, 0);
  if (!member.page) {
    struct bc_answer answer;
    struct bc_page *page = muted == BC_MUTED_FILTER ? NULL : sent_page(&answer);
    if (!page && (muted == BC_MUTED_FILTER || muted == BC_MUTED_FAR)) { // a child that inherited that: nobody can send it one
      member.lost = 0;
      page = spare_page(&answer);
    }
    if (page && page->magic == BC_WIRE_MAGIC) {
      known_flags = page->flags | BC_ANSWER_KNOWN;
      lease_own_limit_is(answer.own_limit);
      if (known_flags & BC_ANSWER_MEMINFO) look_from = 0;
      member.pid = (int32_t)RAW(SYS_getpid, 0);
      __atomic_store_n(&member.page, page, __ATOMIC_RELEASE);
    }
  }
  __atomic_store_n(&member.joining, 0, __ATOMIC_RELEASE);
  ask_restore_signals(&mask);
  return member.page;
}

bool member_mute(enum bc_muted why) {
  struct bc_page *page = why ? member_page() : member_joined();
  if (!page) return false;
  if (why && !spares) {
    spares = page;
    RAW(SYS_madvise, bc_page_spare(page, 0), BC_SPARES * BC_PAGE_SIZE, MADV_DOFORK);
  }
  bc_exchange32(bc_page_muted(page), why);
  __atomic_store_n(&muted, (int32_t)why, __ATOMIC_SEQ_CST);
  return true;
}

struct bc_page *member_rejoin(struct bc_page *old) {
  if (member.pid != (int32_t)RAW(SYS_getpid, 0)) return NULL; // the page is known, as another's: it is not ours to replace
  if (member.page == old) __atomic_store_n(&member.page, NULL, __ATOMIC_SEQ_CST);
  struct bc_page *page = member_join();
  // Other threads may be in the old page still: it stays mapped, and what they charge there is found by the next recount.
  if (page && page != old) {
    memcpy((char *)page + BC_OWNED_AT, (char *)old + BC_OWNED_AT, BC_OWNED_SIZE);
    // Another thread may be about to change a group: what is in one is nobody's for sure.
    for (unsigned fd = 0; fd < BC_OWNED_FDS; fd++)
      if (bc_word_is_group(bc_owned_words(page)[fd])) bc_owned_words(page)[fd] = 0;
    __atomic_store_n(&page->generation, __atomic_load_n(&old->generation, __ATOMIC_SEQ_CST) & ~BC_FORKS, __ATOMIC_SEQ_CST);
  }
  return page;
}

// The next generation, with one fork more or less under way: while there is one, no word matches, so that nothing another
// thread makes or closes meanwhile is taken for this process's alone.
static void turn_generation(struct bc_page *page, uint32_t forks) {
  uint32_t now = __atomic_load_n(&page->generation, __ATOMIC_SEQ_CST), next;
  do {
    next = (now & BC_GENERATIONS) + 1;
    if (next > BC_GENERATIONS) {
      // Once in 4096 forks: the words of the first generation must not come to life again.
      memset((char *)page + BC_OWNED_AT, 0, BC_OWNED_SIZE);
      duplicates_forget(page);
      next = 1;
    }
    next |= (now & BC_RANGES_HELD) | (((now & BC_FORKS) + forks) & BC_FORKS);
  } while (!__atomic_compare_exchange_n(&page->generation, &now, next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  __atomic_store_n(&page->alone, 0, __ATOMIC_SEQ_CST);
}

struct bc_page *member_before_fork(void) {
  struct bc_page *page = member_joined();
  if (page) turn_generation(page, BC_ONE_FORK);
  return page;
}

void member_after_fork(struct bc_page *page) {
  if (page) turn_generation(page, -BC_ONE_FORK);
}

void member_in_child(void) {
  ask_in_child();
  if (!wiped) memset(&member, 0, sizeof member); // else it is, and touching it would cost a page
}

static size_t name_length(const char *entry) { return (size_t)(strchr(entry, '=') - entry) + 1; }

// Bad pointers are for the kernel to refuse (EFAULT). Few pages hold an environment: each is asked for once.
static bool can_be_read(char *const env[]) {
  uintptr_t array = UINTPTR_MAX, text = UINTPTR_MAX; // no page begins there
  for (char *const *e = env; e; e++) {
    if (((uintptr_t)e ^ array) > 4095 && !readable(e)) return false;
    array = (uintptr_t)e & -(uintptr_t)4096;
    if (!*e) break;
    if (((uintptr_t)*e ^ text) > 4095 && !readable(*e)) return false;
    text = (uintptr_t)*e & -(uintptr_t)4096;
  }
  return true;
}

bool environment_is_plain(char *const env[]) {
  if (!can_be_read(env)) return false;
  bool whole = !kept_preload[0];
  for (char *const *e = env; e && *e; e++) {
    if ((*e)[0] != 'L' || (*e)[1] != 'D' || (*e)[2] != '_') continue;
    if (strcmp(*e, kept_preload) != 0) return false;
    whole = true;
  }
  return whole;
}

static const char *shim_path(void) { return kept_shim + sizeof "BC_SHIM=" - 1; }
bool member_sees_library(void) { return !kept_shim[0] || RAW(SYS_faccessat, AT_FDCWD, shim_path(), R_OK) == 0; }

// What a sealed or a muted program starts must not ask: it is under the same filter, or as far away. It goes without the
// library, which it might not even find.
static bool silences(void) { return standing == STANDING_SEALED || muted; }

// Pointers beside those of the environment: what is kept, the preload list, and the null.
enum { PLACES = sizeof kept / sizeof *kept + 2 };

static size_t preload_room(const char *preload) {
  return PLACES + (sizeof kept_preload + (preload ? strlen(preload) : 0)) / sizeof(char *) + 2;
}

size_t environment_entries(char *const env[]) {
  if ((standing != STANDING_INSIDE && standing != STANDING_SEALED) || !can_be_read(env)) return 0;
  bool whole = true;
  const char *preload = find(env, "LD_PRELOAD=", 11);
  if (silences()) {
    size_t n = 0;
    if (!kept_shim[0] || !preload || !strstr(preload, shim_path())) return 0;
    while (env[n]) n++;
    return n + preload_room(preload);
  }
  if (kept_preload[0] && (!preload || !strstr(preload, shim_path()))) whole = false;
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
    if (kept[i][0] && !find(env, kept[i], name_length(kept[i]))) whole = false;
  if (whole) return 0;
  size_t n = 0;
  while (env && env[n]) n++;
  // The longest preload list is written behind the pointers.
  return n + preload_room(preload);
}

static char *const *without_library(char *const env[], char **room, char *text) {
  size_t n = 0, length = strlen(shim_path());
  for (char *const *e = env; *e; e++) {
    if (!begins(*e, "LD_PRELOAD=", 11)) {
      room[n++] = *e;
      continue;
    }
    const char *ours = strstr(*e, shim_path()), *after = ours ? ours + length + (ours[length] == ':' || ours[length] == ' ') : NULL;
    size_t before = ours ? (size_t)(ours - *e) : 0;
    if (ours && before + strlen(after) <= 11) continue; // nothing else is in it
    room[n++] = ours ? text : *e;
    if (!ours) continue;
    memcpy(text, *e, before);
    strcpy(text + before, after);
    if (!*after && text[before - 1] == ':') text[before - 1] = 0;
  }
  room[n] = NULL;
  return room;
}

char *const *environment_repaired(char *const env[], char **room) {
  size_t n = 0, count = 0;
  while (env && env[count]) count++;
  char *text = (char *)(room + count + PLACES);
  if (silences()) return without_library(env, room, text);
  const char *preload = find(env, "LD_PRELOAD=", 11);
  for (size_t i = 0; i < count; i++)
    if (!kept_preload[0] || !begins(env[i], "LD_PRELOAD=", 11)) room[n++] = env[i];
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
    if (kept[i][0] && !find(env, kept[i], name_length(kept[i]))) room[n++] = kept[i];
  if (kept_preload[0] && preload && strstr(preload, shim_path())) {
    room[n++] = (char *)preload;
  } else if (kept_preload[0]) {
    room[n++] = text;
    strcpy(text, kept_preload);
    if (preload && preload[11]) strcat(strcat(text, ":"), preload + 11);
  }
  room[n] = NULL;
  return room;
}
