// Files of an OpenVZ kernel that this one lacks, as a member finds them: /proc/user_beancounters, /proc/bc/resources,
// /proc/bc/<id>/resources and /proc/bc/<id>/vmaux, each about its own beancounter. And /proc/meminfo as that has it
// (--meminfo).
//
// The kernel is asked first: only what it does not have, or keeps from us, is looked at here, so that a call that succeeds
// costs nothing, and the real files of a real OpenVZ kernel win. A path is safe to read then: the kernel has read it.
#ifndef SHIM_VIEWS_H
#define SHIM_VIEWS_H

#include "member.h"

#include <stdint.h>
#include <stdio.h>

enum view {
  VIEW_NONE = 0,
  VIEW_FILE,      // may be read by any program inside; the kernels' is 0400, and root's
  VIEW_DIRECTORY, // may be passed through, not listed
};

// After an open(2) that has failed, of a path that begins at `at` (openat(2)): a descriptor, or −1 and an errno, the kernel's
// own where the path is none of ours. EACCES to open it for writing, EEXIST with O_EXCL, ENOTDIR with O_DIRECTORY, EMFILE where
// no number is free, EIO where the server is lost.
int view_open(int at, const char *path, int flags);

// The same after an fopen(3).
FILE *view_fopen(const char *path, const char *mode);

// The same before a freopen(3), which would have closed the stream. −1 where the path is none of ours, with errno 0, or is
// and cannot be opened so.
int view_before_freopen(const char *path, const char *mode);

// After a stat(2) or access(2) that has failed: what is there instead. errno stays.
enum view view_there(int at, const char *path);

// The path of the view behind a descriptor, in `room`; null where there is none.
enum { VIEW_PATH = 64 };
const char *view_behind(int fd, char room[VIEW_PATH]);

// A file of the kernel's that is like it in all but its name and mode (a size of 0, owned by root), its mode, its number.
const char *view_like(enum view v);
unsigned view_mode(enum view v);
uint64_t view_inode(const char *path);

// statx(2) as it was answered, by libc or the kernel, and as it is to be.
struct statx;
int view_statx(int error, int at, const char *path, int flags, unsigned mask, struct statx *info);

// Whether /proc/meminfo is the beancounter's for this process.
static inline bool view_has_meminfo(void) { return known_flags & BC_ANSWER_MEMINFO; }

// Puts the beancounter's /proc/meminfo behind the descriptor of the machine's, where that is what `path` named. 0 or an
// errno.
int view_replace_meminfo(int fd, const char *path);

// Memory as that file has it, in bytes: all, and what is left. False where the machine's own figures stand.
bool view_memory(int64_t *all, int64_t *left);

#endif
