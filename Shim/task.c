#define _GNU_SOURCE
#include "task.h"

#include "ask.h"
#include "raw.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static bool leased(struct bc_page *page) { return __atomic_load_n(&page->flags, __ATOMIC_RELAXED) & BC_ANSWER_LEASED; }

// A note taken back: its unit is this process's own again, and what was booked for it.
static bool take_note(struct bc_page *page, unsigned i, pid_t child) {
  bool born = bc_page_born(page, i);
  if (!bc_cas32(bc_page_note(page, i), child, BC_NOTE_FREE)) return false;
  if (born) bc_add32(bc_page_births(page), 1);
  credit_give(bc_page_cell(page, BC_NUMPROC), 1);
  return true;
}

// A new maximum must not count children that have gone without being waited for (SIGCHLD ignored).
static void sweep(struct bc_page *page) {
  struct bc_cell *cell = bc_page_cell(page, BC_NUMPROC);
  if (bc_load(&cell->credit) - 1 >= bc_load(&cell->low)) return;
  for (unsigned i = 0; i < BC_NOTES; i++) {
    int32_t child = bc_load32(bc_page_note(page, i));
    if (child > 0 && RAW(SYS_kill, child, 0) == -ESRCH) take_note(page, i, child);
  }
}

static bool take_birth(struct bc_page *page) {
  int32_t seen = bc_load32(bc_page_births(page));
  while (seen > 0) {
    if (bc_cas32(bc_page_births(page), seen, seen - 1)) return true;
    seen = bc_load32(bc_page_births(page));
  }
  return false;
}

// Whether what was booked ahead will do for this child: the lease is not one that is lent for another, and an image has room.
// It is not made less while a child is under way.
static bool lease_will_do(bool is_image) {
  struct rlimit now;
  if (RAW(SYS_prlimit64, 0, RLIMIT_DATA, 0, &now) < 0 || !bc_lease_is(now.rlim_cur)) return false;
  return !(now.rlim_cur & BC_LEASE_STATE) && (!is_image || now.rlim_cur >= (uint64_t)BC_HEAD_ROOM);
}

// A birth that was booked ahead is enough for a copy, and for an image that is known.
static int book(struct task *t, enum bc_birth birth, const char *call, const struct image *image) {
  struct bc_page *page = t->charge.page;
  // First, so that whoever takes the births back sees that one may be under way.
  bc_add32(bc_page_forking(page), 1);
  t->under_way = true;
  images_learn(page);
  uint64_t key = image ? image_key(image) : 0;
  if ((!image || image_known(key)) && take_birth(page)) {
    if (lease_will_do(birth == BC_IMAGE)) return t->booked = true, 0;
    bc_add32(bc_page_births(page), 1);
  }
  struct bc_request request = {
      .kind = BC_FORK, .resource = BC_PRIVVMPAGES, .amount = 1, .birth = (uint16_t)birth, .want = (int64_t)key};
  struct bc_answer answer;
  ask_text(request.call, sizeof request.call, call);
  ask_text(request.detail, sizeof request.detail, image ? image->path : NULL);
  switch (ask(&request, &answer, NULL)) {
    case ASK_ANSWERED:
      t->booked = !answer.error;
      return answer.error;
    case ASK_NO_DESCRIPTOR: return 0; // the server finds the child by itself, at its next look
    case ASK_LOST: return ask_allowed_on_loss() ? 0 : EAGAIN;
  }
  return 0;
}

static const char *shown(const struct image *image) {
  return !image ? NULL : image->shown ? image->shown : image->path;
}

static void arrived(struct task t) {
  if (t.under_way) bc_add32(bc_page_forking(t.charge.page), -1);
}

struct task task_begin(enum bc_birth birth, const char *call, const struct image *image) {
  struct task t = {.charge = {member_page(), 0}};
  struct bc_page *page = t.charge.page;
  if (!page) return t;
  sweep(page);
  int refusal = __atomic_load_n(&page->flags, __ATOMIC_RELAXED) & BC_ANSWER_OPENVZ_ERRNO ? ENOMEM : EAGAIN;
  t.charge = charge_begin(BC_NUMPROC, 1, refusal, call, shown(image));
  if (t.charge.error) return t;
  if (t.charge.page && leased(page)) {
    int error = book(&t, birth, call, image);
    if (error) {
      arrived(t);
      charge_end(t.charge, BC_NUMPROC, 1);
      t.charge.error = error;
      return t;
    }
  }
  t.marked = member_before_fork();
  if (birth == BC_COPY) ask_before_fork(page);
  return t;
}

static bool write_note(struct bc_page *page, pid_t child, const char *path, bool born) {
  for (unsigned i = 0; i < BC_NOTES; i++) {
    if (!bc_cas32(bc_page_note(page, i), BC_NOTE_FREE, BC_NOTE_WRITING)) continue;
    ask_text(page->paths[i], BC_NOTE_PATH, path);
    __atomic_store_n(&page->born[i], born, __ATOMIC_SEQ_CST);
    bc_exchange32(bc_page_note(page, i), child);
    return true;
  }
  return false;
}

void task_end(struct task t, pid_t child, const char *path) {
  if (!t.charge.page) return member_after_fork(t.marked);
  if (child == -1) {
    if (t.booked) bc_add32(bc_page_births(t.charge.page), 1);
  } else if (!write_note(t.charge.page, child, path, t.booked)) {
    struct bc_request request = {.kind = BC_FORKED, .resource = BC_NUMPROC, .amount = 1, .want = t.booked, .child = child};
    struct bc_answer answer;
    ask_text(request.detail, sizeof request.detail, path);
    ask(&request, &answer, NULL);
  }
  arrived(t);
  member_after_fork(t.marked);
  charge_end(t.charge, BC_NUMPROC, child == -1);
}

void task_reaped(pid_t child) {
  struct bc_page *page = member_joined();
  for (unsigned i = 0; page && i < BC_NOTES; i++)
    if (bc_load32(bc_page_note(page, i)) == child && take_note(page, i, child)) return;
}

// Whether the program is one that the shim will be in: 64-bit ELF with glibc's loader, not setuid. For what it is not sure
// of, the server is asked.
static bool surely_covered(const char *path) {
  _Alignas(8) char head[1024];
  struct stat info;
  long fd = path && readable(path) && path[0] == '/' ? RAW(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
  if (fd < 0) return false;
  long n = RAW(SYS_read, fd, head, sizeof head);
  bool setid = RAW(SYS_fstat, fd, &info) < 0 || info.st_mode & (S_ISUID | S_ISGID);
  RAW(SYS_close, fd);
  const Elf64_Ehdr *elf = (const Elf64_Ehdr *)head;
  if (setid || n < (long)sizeof *elf || memcmp(elf->e_ident, ELFMAG, SELFMAG) || elf->e_ident[EI_CLASS] != ELFCLASS64 ||
      elf->e_phoff % 8 || elf->e_phoff > sizeof head)
    return false;
  const Elf64_Phdr *part = (const Elf64_Phdr *)(head + elf->e_phoff);
  for (unsigned i = 0; i < elf->e_phnum && (const char *)(part + i + 1) <= head + n; i++) {
    if (part[i].p_type != PT_INTERP) continue;
    uint64_t at = part[i].p_offset, size = part[i].p_filesz;
    if (size < 2 || size > 256 || at > (uint64_t)n || at + size > (uint64_t)n || head[at + size - 1]) return false;
    return strstr(head + at, "ld-linux") != NULL;
  }
  return false;
}

// The server sees by the mark that an image is about to rely on the head room, and leaves it alone; or it has marked the
// lease before, or set another, and is asked.
static bool lease_marked(uint64_t key) {
  struct rlimit now, was;
  if (!image_known(key) || RAW(SYS_prlimit64, 0, RLIMIT_DATA, 0, &now) < 0) return false;
  if (!bc_lease_is(now.rlim_cur) || now.rlim_cur < (uint64_t)BC_HEAD_ROOM) return false;
  if (now.rlim_cur & (BC_LEASE_EXEC | BC_LEASE_RECALL | BC_LEASE_HELLO)) return false;
  uint64_t seen = now.rlim_cur;
  now.rlim_cur = bc_lease_word(seen, BC_LEASE_EXEC);
  return RAW(SYS_prlimit64, 0, RLIMIT_DATA, &now, &was) == 0 && was.rlim_cur == seen;
}

struct exec exec_begin(const char *call, const struct image *image) {
  struct exec e = {0, EXEC_UNSEEN};
  if (standing != STANDING_INSIDE) return e;
  bool bounded = known_flags & BC_ANSWER_LEASED || !(known_flags & BC_ANSWER_KNOWN);
  uint64_t key = bounded ? image_key(image) : 0;
  // A forked child that has charged nothing leaves nothing behind, and its program will join by itself.
  if (muted) member_page(); // it is by its mailbox that it asks
  else if (!member_joined() && known_flags & BC_ANSWER_KNOWN) {
    if (!bounded && surely_covered(image->path)) return e;
    if (bounded && lease_marked(key)) return e.how = EXEC_MARKED, e;
  }
  struct bc_request request = {.kind = BC_EXEC, .want = (int64_t)key};
  struct bc_answer answer;
  ask_text(request.call, sizeof request.call, call);
  ask_text(request.detail, sizeof request.detail, image->path);
  e.how = EXEC_TOLD;
  if (ask(&request, &answer, NULL) == ASK_ANSWERED) e.error = answer.error;
  return e;
}

void exec_failed(struct exec e) {
  struct rlimit now;
  if (e.how == EXEC_TOLD) {
    struct bc_request request = {.kind = BC_EXEC_FAILED};
    tell(&request);
  } else if (e.how == EXEC_MARKED && RAW(SYS_prlimit64, 0, RLIMIT_DATA, 0, &now) == 0 && now.rlim_cur & BC_LEASE_EXEC) {
    now.rlim_cur = bc_lease_word(now.rlim_cur, 0);
    RAW(SYS_prlimit64, 0, RLIMIT_DATA, &now, 0);
  }
}
