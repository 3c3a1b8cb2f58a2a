#define _GNU_SOURCE
#include "views.h"

#include "ask.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum view in_bc(const char *rest) {
  if (!*rest) return VIEW_DIRECTORY;
  if (strcmp(rest, "resources") == 0) return VIEW_FILE;
  size_t digits = strspn(rest, "0123456789");
  if (!digits) return VIEW_NONE;
  rest += digits;
  if (!*rest || strcmp(rest, "/") == 0) return VIEW_DIRECTORY;
  return strcmp(rest, "/resources") == 0 || strcmp(rest, "/vmaux") == 0 ? VIEW_FILE : VIEW_NONE;
}

// By the text alone: whether the id in it is our own, the server knows.
static enum view named(const char *path) {
  if (strncmp(path, "/proc/", 6) != 0) return VIEW_NONE;
  path += 6;
  if (strcmp(path, "user_beancounters") == 0) return VIEW_FILE;
  if (strncmp(path, "bc", 2) != 0) return VIEW_NONE;
  return path[2] == '/' ? in_bc(path + 3) : path[2] ? VIEW_NONE : VIEW_DIRECTORY;
}

// A relative path is one of ours only below /proc itself: no view is a directory that anybody could be in.
static const char *absolute(int at, const char *path, char room[VIEW_PATH]) {
  static const char proc[] = "/proc/";
  enum { PROC = sizeof proc - 1 };
  if (strncmp(path, "user_", 5) != 0 && strncmp(path, "bc", 2) != 0) return path;
  if (strnlen(path, VIEW_PATH) >= VIEW_PATH - PROC) return path;
  char link[32];
  if (at == AT_FDCWD) strcpy(link, "/proc/self/cwd");
  else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
  if (RAW(SYS_readlinkat, AT_FDCWD, link, room, VIEW_PATH) != PROC - 1 || memcmp(room, proc, PROC - 1) != 0) return path;
  room[PROC - 1] = '/';
  return strcpy(room + PROC, path) - PROC;
}

static bool kernel_has_none(void) { return errno == ENOENT || errno == EACCES; }
static bool inside(void) { return standing == STANDING_INSIDE && !in_vfork_child; }

// 0, or an errno; with `fd`, the text comes in a descriptor that execs close.
static int ask_view(const char *path, struct bc_answer *answer, int *fd) {
  struct bc_request request = {.kind = BC_VIEW, .amount = fd != NULL, .parent = (int32_t)RAW(SYS_getppid, 0)};
  ask_text(request.detail, sizeof request.detail, path + sizeof "/proc/" - 1);
  if (fd) *fd = -1;
  switch (ask(&request, answer, fd)) {
    case ASK_ANSWERED: break;
    case ASK_NO_DESCRIPTOR: return EMFILE;
    case ASK_LOST: return EIO;
  }
  if (answer->error) return answer->error;
  return fd && *fd < 0 ? EMFILE : 0; // it was sent, and no number was free beside the question's
}

// The lowest number that is free, as of any open: the question had that one.
static int lowest(int fd, int flags) {
  long low = RAW(SYS_fcntl, fd, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
  if (low >= 0 && low < fd) {
    RAW(SYS_close, fd);
    fd = (int)low;
  } else {
    if (low >= 0) RAW(SYS_close, low);
    if (!(flags & O_CLOEXEC)) RAW(SYS_fcntl, fd, F_SETFD, 0);
  }
  if (flags & (O_APPEND | O_NONBLOCK)) RAW(SYS_fcntl, fd, F_SETFL, flags & (O_APPEND | O_NONBLOCK));
  return fd;
}

static int refused(enum view v, int flags) {
  if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return EEXIST;
  if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC) return EACCES;
  if (v == VIEW_DIRECTORY) return EACCES;
  return flags & O_DIRECTORY ? ENOTDIR : 0;
}

static int open_named(enum view v, const char *path, int flags) {
  struct bc_answer answer;
  int fd = -1, error = refused(v, flags), missing = ask_view(path, &answer, error ? NULL : &fd);
  if (missing) error = missing;
  return error ? (errno = error, -1) : lowest(fd, flags);
}

__attribute__((cold)) int view_open(int at, const char *path, int flags) {
  if (!inside() || !kernel_has_none()) return -1;
  char room[VIEW_PATH];
  path = absolute(at, path, room);
  enum view v = named(path);
  return v ? open_named(v, path, flags) : -1;
}

static int mode_flags(const char *mode) {
  int flags = mode[0] == 'r' && !strchr(mode, '+') ? O_RDONLY : O_RDWR;
  return strchr(mode, 'e') ? flags | O_CLOEXEC : flags;
}

__attribute__((cold)) FILE *view_fopen(const char *path, const char *mode) {
  int fd = view_open(AT_FDCWD, path, mode_flags(mode));
  FILE *file = fd >= 0 ? fdopen(fd, mode) : NULL;
  if (fd >= 0 && !file) RAW(SYS_close, fd);
  return file;
}

__attribute__((cold)) int view_before_freopen(const char *path, const char *mode) {
  char copy[sizeof((struct bc_request *)0)->detail];
  errno = 0;
  if (!inside()) return -1;
  ask_text(copy, sizeof copy, path);
  enum view v = named(copy);
  if (!v || RAW(SYS_faccessat, AT_FDCWD, copy, R_OK) == 0) return -1;
  return open_named(v, copy, mode_flags(mode) | O_CLOEXEC);
}

__attribute__((cold)) enum view view_there(int at, const char *path) {
  if (!inside() || !kernel_has_none()) return VIEW_NONE;
  char room[VIEW_PATH];
  path = absolute(at, path, room);
  enum view v = named(path);
  struct bc_answer answer;
  return v && ask_view(path, &answer, NULL) == 0 ? v : VIEW_NONE;
}

// The server names the file of each after its path.
__attribute__((cold)) const char *view_behind(int fd, char room[VIEW_PATH]) {
  static const char before[] = "/memfd:", after[] = " (deleted)";
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long n = RAW(SYS_readlinkat, AT_FDCWD, link, room, VIEW_PATH - 1);
  long path = sizeof before - 1, end = n - (long)(sizeof after - 1);
  if (n < 0 || end <= path || memcmp(room, before, (size_t)path) != 0) return NULL;
  room[end] = 0;
  return inside() && (named(room + path) || strcmp(room + path, "/proc/meminfo") == 0) ? room + path : NULL;
}

const char *view_like(enum view v) { return v == VIEW_FILE ? "/proc/version" : "/proc/sys"; }

unsigned view_mode(enum view v) { return v == VIEW_FILE ? S_IFREG | 0400 : S_IFDIR | 0111; }

// FNV-1a, so that each has one of its own.
uint64_t view_inode(const char *path) {
  uint64_t h = 0xcbf29ce484222325;
  if (strncmp(path, "/proc/", 6) == 0) path += 6;
  for (; *path; path++) h = (h ^ (unsigned char)*path) * 0x100000001b3;
  return h >> 24;
}

// By whatever path it was opened.
static bool is_meminfo(int fd, const char *path) {
  static const char name[] = "meminfo", whole[] = "/proc/meminfo";
  size_t n = strlen(path);
  if (strcmp(path, whole) == 0) return true;
  if (n < sizeof name - 1 || strcmp(path + n - (sizeof name - 1), name) != 0) return false;
  char link[32], room[VIEW_PATH];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  return RAW(SYS_readlinkat, AT_FDCWD, link, room, sizeof room) == sizeof whole - 1 && memcmp(room, whole, sizeof whole - 1) == 0;
}

__attribute__((cold)) int view_replace_meminfo(int fd, const char *path) {
  if (in_vfork_child || !view_has_meminfo() || !is_meminfo(fd, path)) return 0;
  struct bc_answer answer;
  int view, error = ask_view("/proc/meminfo", &answer, &view);
  if (error) return error;
  long flags = RAW(SYS_fcntl, fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0;
  long put = RAW(SYS_dup3, view, fd, flags);
  RAW(SYS_close, view);
  return put < 0 ? (int)-put : 0;
}

bool view_memory(int64_t *all, int64_t *left) {
  if (!inside()) return false;
  if (!(known_flags & BC_ANSWER_KNOWN)) member_page();
  struct bc_answer answer;
  if (!view_has_meminfo() || ask_view("/proc/meminfo", &answer, NULL)) return false;
  *all = answer.memory[0];
  *left = answer.memory[1];
  return true;
}
