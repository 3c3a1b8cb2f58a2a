// Drives every row of calls.def through success, a failure of the kernel's, and a denial. Bare, the first two are printed, to
// be held against the same under bcrun; there the cells are read as well, and any that is not what the row promises makes
// the exit status 1.
//   rows [BARRIER]     BARRIER of numfile, where one is in force
#define _GNU_SOURCE
#include "wire.h"

#include <aliases.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <gshadow.h>
#include <mntent.h>
#include <mqueue.h>
#include <netdb.h>
#include <pwd.h>
#include <rpc/netdb.h>
#include <shadow.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <unistd.h>
#include <utmp.h>
#include <utmpx.h>

static struct bc_page *page; // null: bare
static int wrong;
static const char *row;
static int outside; // descriptors that somebody else pays for
static sigset_t no_signals;

static char *fresh_name(void) {
  static char name[64];
  if (strcmp(name, "") != 0) unlink(name);
  snprintf(name, sizeof name, "/tmp/beancounter-rows-%d-XXXXXX", getpid());
  return name;
}

static struct file_handle *root_handle(void) {
  static union {
    struct file_handle handle;
    char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
  } u;
  int mount, saved = errno;
  u.handle.handle_bytes = MAX_HANDLE_SZ;
  if (name_to_handle_at(AT_FDCWD, "/", &u.handle, &mount, 0) < 0) u.handle.handle_bytes = 0;
  errno = saved;
  return &u.handle;
}

#include "arguments.h"

static int64_t used(void) {
  if (!page) return 0;
  struct bc_cell *cell = bc_page_cell(page, BC_NUMFILE);
  int64_t credit = bc_load(&cell->credit);
  return cell->granted - (credit < 0 ? credit - bc_frozen() : credit); // in slow mode it is frozen
}

__attribute__((format(printf, 1, 2))) static void mismatch(const char *text, ...) {
  va_list words;
  printf("MISMATCH %s: ", row);
  va_start(words, text);
  vprintf(text, words);
  va_end(words);
  putchar('\n');
  wrong = 1;
}

// Descriptors below the ones that are held to reach the barrier.
static int open_descriptors(void) {
  int n = 0;
  for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

static void expect_used(const char *when, int64_t before, int64_t more) {
  if (page && used() != before + more)
    mismatch("%s: numfile moved by %ld, not %ld", when, (long)(used() - before), (long)more);
  if (page && bc_pending(bc_page_cell(page, BC_NUMFILE))) mismatch("%s: a charge is left pending", when);
}

// One row as it is driven: makes something and says what errno was, or gives it back.
struct made {
  int done, error;
  union {
    int fd;
    FILE *file;
  };
};

static void limit_files(rlim_t n) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = n < limit.rlim_max ? n : limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static void drive(const char *name, struct made (*make)(void), void (*unmake)(struct made)) {
  row = name;
  for (int full = 0; full < 2; full++) {
    // The kernel has nothing to give: no descriptor number is allowed.
    int descriptors = open_descriptors();
    int64_t before = used();
    if (full) limit_files(0);
    struct made m = make();
    if (full) limit_files(RLIM_INFINITY);
    int more = open_descriptors() - descriptors;
    printf("%s: %s, errno %d, descriptors +%d\n", name, m.done ? "made" : "failed", m.error, more);
    expect_used(full ? "refused by the kernel" : "made", before, strcmp(name, "dup") == 0 ? 0 : more);
    if (!m.done) continue;
    unmake(m);
    if (open_descriptors() != descriptors) mismatch("what it made is still there");
    expect_used("given back", before, 0);
  }
}

static void deny(const char *name, struct made (*make)(void), void (*unmake)(struct made), int expected) {
  row = name;
  int descriptors = open_descriptors();
  int64_t before = used();
  struct made m = make();
  if (m.done) mismatch("went beyond the barrier"), unmake(m);
  else if (m.error != expected) mismatch("refused with errno %d, not %d", m.error, expected);
  if (open_descriptors() != descriptors) mismatch("refused, and a descriptor is left");
  expect_used("denied", before, 0);
}

static void unmake_fd(struct made m) { close(m.fd); }
static void unmake_file(struct made m) { fclose(m.file); }

#define MAKES_FD(name)                                                   \
  static struct made make_##name(void) {                                 \
    struct made m = {.fd = -1};                                          \
    errno = 0;                                                           \
    m.fd = name(WITH_##name);                                            \
    m.error = errno;                                                     \
    m.done = m.fd >= 0;                                                  \
    return m;                                                            \
  }
#define MAKES_FILE(name)                                                 \
  static struct made make_##name(void) {                                 \
    struct made m = {.file = NULL};                                      \
    errno = 0;                                                           \
    m.file = name(WITH_##name);                                          \
    m.error = errno;                                                     \
    m.done = m.file != NULL;                                             \
    return m;                                                            \
  }

// What no header declares is declared as the row has it.
#define FD(name, params, args, detail) MAKES_FD(name)
#define FDV(name, types, params, args, detail) MAKES_FD(name)
#define FDX(name, params, args, detail) extern int name params; MAKES_FD(name)
#define OPENV(name, types, params, args) MAKES_FD(name)
#define OPENX(name, params, args) extern int name params; MAKES_FD(name)
#define FOPEN(name, params, args) MAKES_FILE(name)
#define FOPENX(name, params, args) extern FILE *name params; MAKES_FILE(name)
#define FILEP(name, params, args, detail) MAKES_FILE(name)
#define FILEPX(name, params, args, detail) extern FILE *name params; MAKES_FILE(name)
#define KEEP(slot, ret, failure, name, params, args)                     \
  static int keeps_##name(void) {                                        \
    errno = 0;                                                           \
    name(WITH_##name);                                                   \
    return errno;                                                        \
  }
#define DROP(slot, ret, name, params, args)
#define HAND(name)
#define NONE(name, reason)
#define NONEs(reason, ...)
#include "calls.def"

MAKES_FD(posix_openpt)
MAKES_FD(getpt)
MAKES_FD(inotify_init)
MAKES_FD(inotify_init1)
MAKES_FD(dup)
MAKES_FD(socket)
MAKES_FD(signalfd)

static void drop_all(void) {
#undef FD
#undef FDV
#undef FDX
#undef OPENV
#undef OPENX
#undef FOPEN
#undef FOPENX
#undef FILEP
#undef FILEPX
#undef KEEP
#undef DROP
#define FD(name, params, args, detail)
#define FDV(name, types, params, args, detail)
#define FDX(name, params, args, detail)
#define OPENV(name, types, params, args)
#define OPENX(name, params, args)
#define FOPEN(name, params, args)
#define FOPENX(name, params, args)
#define FILEP(name, params, args, detail)
#define FILEPX(name, params, args, detail)
#define KEEP(slot, ret, failure, name, params, args)
#define DROP(slot, ret, name, params, args) name();
#include "calls.def"
}

// libc keeps at most one file for it, and the row charges one whether it does or not.
static void keep(const char *name, int (*keeps)(void), bool refused) {
  row = name;
  drop_all();
  int descriptors = open_descriptors();
  int64_t before = used();
  int error = keeps();
  int more = open_descriptors() - descriptors;
  if (!refused) {
    printf("%s: errno %d, keeps %d\n", name, error, more);
    if (more > 1) mismatch("keeps %d files", more);
    // What earlier ones kept may be charged still: the estimate is not exact here, but it must not be below the truth.
    if (page && used() < open_descriptors() - outside) mismatch("%ld charged, %d open", (long)used(), open_descriptors() - outside);
  } else {
    if (error != ENFILE) mismatch("refused with errno %d, not %d", error, ENFILE);
    if (more) mismatch("refused, and a descriptor is left");
    expect_used("denied", before, 0);
  }
  drop_all();
}

static void each(void fd(const char *, struct made (*)(void), void (*)(struct made)), bool refused) {
#undef FD
#undef FDV
#undef FDX
#undef OPENV
#undef OPENX
#undef FOPEN
#undef FOPENX
#undef FILEP
#undef FILEPX
#undef KEEP
#undef DROP
#define FD(name, params, args, detail) fd(#name, make_##name, unmake_fd);
#define FDV(name, types, params, args, detail) FD(name, params, args, detail)
#define FDX(name, params, args, detail) FD(name, params, args, detail)
#define OPENV(name, types, params, args) FD(name, params, args, path)
#define OPENX(name, params, args) FD(name, params, args, path)
#define FOPEN(name, params, args) FILEP(name, params, args, path)
#define FOPENX(name, params, args) FILEP(name, params, args, path)
#define FILEP(name, params, args, detail) fd(#name, make_##name, unmake_file);
#define FILEPX(name, params, args, detail) FILEP(name, params, args, detail)
#define KEEP(slot, ret, failure, name, params, args) keep(#name, keeps_##name, refused);
#define DROP(slot, ret, name, params, args)
  // Before the KEEP rows, which leave an estimate behind.
  FD(posix_openpt, , , )
  FD(getpt, , , )
  FD(inotify_init, , , )
  FD(inotify_init1, , , )
  FD(socket, , , )
  FD(signalfd, , , )
#include "calls.def"
}

static void denied(const char *name, struct made (*make)(void), void (*unmake)(struct made)) { deny(name, make, unmake, ENFILE); }

// The shim's page, as this process has it mapped.
static void find_page(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  while (maps && fgets(line, sizeof line, maps))
    if (strstr(line, "/memfd:beancounter")) page = (struct bc_page *)strtoul(line, NULL, 16);
  if (maps) fclose(maps);
}

int main(int count, char **word) {
  setvbuf(stdout, NULL, _IOLBF, 1 << 16);
  int barrier = count > 1 ? atoi(word[1]) : 0, held[4096], n = 0;
  close(open("/dev/null", O_RDONLY)); // joins
  find_page();
  if (barrier && (!page || page->magic != BC_WIRE_MAGIC)) return puts("no page: the library is not in here"), 1;
  outside = open_descriptors() - (int)used();
  each(drive, false);
  drive("dup", make_dup, unmake_fd); // one description more is none
  if (barrier) {
    while (n < 4096 && (held[n] = open("/dev/null", O_RDONLY)) >= 0) n++;
    row = "open";
    if (errno != ENFILE) mismatch("stopped with errno %d after %d", errno, n);
    if (used() != barrier) mismatch("%ld used at a barrier of %d", (long)used(), barrier);
    each(denied, true);
    while (n > 0) close(held[--n]);
  }
  mq_unlink("/beancounter-rows");
  shm_unlink("/beancounter-rows");
  fresh_name();
  return wrong;
}
