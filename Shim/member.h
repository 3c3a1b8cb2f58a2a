// This process as a member of a beancounter: its page, how it joins, what a child starts with.
#ifndef SHIM_MEMBER_H
#define SHIM_MEMBER_H

#include "ranges.h"
#include "wire.h"

#include <stdbool.h>
#include <stddef.h>

enum standing {
  STANDING_UNKNOWN = 0, // before the constructor: all-zero state is valid
  STANDING_INSIDE,      // named a server; the page is there once joined
  STANDING_OUTSIDE,     // BC_DISABLE, or nobody named a server
  STANDING_SEALED,      // forbade itself what a question takes (seal.h)
};

// Wiped by the kernel in every child, however it was made (MADV_WIPEONFORK, 4.14): a child has joined nothing.
struct membership {
  struct bc_page *page;
  int32_t pid; // whose page it is: a child that shares its parent's memory (CLONE_VM) finds its parent's here
  int joining;
  int lost; // the server did not answer: next time, one try is enough
  struct ranges ranges;
};

// Hidden by name: the flag of the build hides definitions only, and what may be another library's costs an instruction more.
#define OURS __attribute__((visibility("hidden")))

extern struct member_block {
  _Alignas(4096) struct membership it;
} member_block OURS;
#define member (member_block.it)

// In a child of vfork, which runs in its parent's memory: what it opens and closes is not its parent's.
extern _Thread_local int in_vfork_child __attribute__((tls_model("initial-exec")));

extern enum standing standing OURS;
// The flags of the page this process, or the one it was forked from, last joined with; BC_ANSWER_KNOWN once there was one.
extern uint32_t known_flags OURS;
// Why what this process starts cannot ask (enum bc_muted). Inherited by its children.
extern int32_t muted OURS;
// From which place in its page on an opened path is looked at closely: near the end always, everywhere with --meminfo.
extern unsigned look_from OURS;
enum { LOOK_PAGE = 4096, LOOK_BYTES = 8 };
extern char server_path[108];
extern uint64_t member_token[2];

// The page, joined now if need be; null when the call is to pass through uncharged.
struct bc_page *member_join(void);

// The server knows nothing of this page (it is a new server, or the page came too late): a new one, with what is surely
// ours written over. Null where there is none to be had.
struct bc_page *member_rejoin(struct bc_page *old);

// Whether an image that it starts would find the library.
bool member_sees_library(void);

// From now on this process is muted for that reason, or no longer. False when it has no page: then it can ask nothing.
bool member_mute(enum bc_muted why);

static inline struct bc_page *member_page(void) {
  if (__builtin_expect(in_vfork_child, 0)) return NULL;
  struct bc_page *page = member.page;
  return __builtin_expect(page != NULL, 1) ? page : standing <= STANDING_INSIDE ? member_join() : NULL;
}

// An image without a charge open does not join on its own account for a release.
static inline struct bc_page *member_joined(void) { return in_vfork_child ? NULL : member.page; }

// Every descriptor becomes shared with the child that is about to be, and so does what comes before that is over.
struct bc_page *member_before_fork(void);
void member_after_fork(struct bc_page *marked);
// Whether failures of memory were asked for (inject.h): said in the environment, for the first calls come before the first question.
bool member_injects(void);

// In the child, where the wipe did not happen (a kernel before 4.14).
void member_in_child(void);

// Whether it makes the dynamic linker load what it would load without it, and the shim.
bool environment_is_plain(char *const env[]);

// An environment that has what a new image needs to join: `env` itself when it does, else one built in `room`.
// entries_needed says how many pointers that takes.
size_t environment_entries(char *const env[]);
char *const *environment_repaired(char *const env[], char **room);

#endif
