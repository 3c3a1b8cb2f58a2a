#define _GNU_SOURCE
#include "task.h"

#include "ask.h"
#include "raw.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static bool leased(struct bc_page *page) { return __atomic_load_n(&page->flags, __ATOMIC_RELAXED) & BC_ANSWER_LEASED; }

// A note taken back: its unit is this process's own again.
static bool take_note(struct bc_page *page, unsigned i, pid_t child) {
  if (!bc_cas32(bc_page_note(page, i), child, BC_NOTE_FREE)) return false;
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

static int book(struct task *t, enum bc_birth birth, const char *call, const char *detail) {
  struct bc_page *page = t->charge.page;
  struct bc_request request = {.kind = BC_FORK, .resource = BC_PRIVVMPAGES, .amount = 1, .birth = (uint16_t)birth};
  struct bc_answer answer;
  ask_text(request.call, sizeof request.call, call);
  ask_text(request.detail, sizeof request.detail, detail);
  __atomic_fetch_add(&page->forking, 1, __ATOMIC_SEQ_CST);
  t->booked = true;
  switch (ask(&request, &answer, NULL)) {
    case ASK_ANSWERED: return answer.error;
    case ASK_NO_DESCRIPTOR: return 0; // the server finds the child by itself, at its next look
    case ASK_LOST: return ask_allowed_on_loss() ? 0 : EAGAIN;
  }
  return 0;
}

static void unbook(struct task t) {
  if (t.booked) __atomic_fetch_sub(&t.charge.page->forking, 1, __ATOMIC_SEQ_CST);
}

struct task task_begin(enum bc_birth birth, const char *call, const char *detail) {
  struct task t = {.charge = {member_page(), 0}};
  struct bc_page *page = t.charge.page;
  if (!page) return t;
  sweep(page);
  int refusal = __atomic_load_n(&page->flags, __ATOMIC_RELAXED) & BC_ANSWER_OPENVZ_ERRNO ? ENOMEM : EAGAIN;
  t.charge = charge_begin(BC_NUMPROC, 1, refusal, call, detail);
  if (t.charge.error) return t;
  if (t.charge.page && leased(page)) {
    int error = book(&t, birth, call, detail);
    if (error) {
      unbook(t);
      charge_end(t.charge, BC_NUMPROC, 1);
      t.charge.error = error;
      return t;
    }
  }
  t.marked = member_before_fork();
  return t;
}

static bool write_note(struct bc_page *page, pid_t child, const char *path) {
  for (unsigned i = 0; i < BC_NOTES; i++) {
    if (!bc_cas32(bc_page_note(page, i), BC_NOTE_FREE, BC_NOTE_WRITING)) continue;
    ask_text(page->paths[i], BC_NOTE_PATH, path);
    bc_exchange32(bc_page_note(page, i), child);
    return true;
  }
  return false;
}

void task_end(struct task t, pid_t child, const char *path) {
  if (!t.charge.page) return member_after_fork(t.marked);
  if (child != -1 && !write_note(t.charge.page, child, path)) {
    struct bc_request request = {.kind = BC_FORKED, .resource = BC_NUMPROC, .amount = 1, .child = child};
    struct bc_answer answer;
    ask_text(request.detail, sizeof request.detail, path);
    ask(&request, &answer, NULL);
  }
  unbook(t);
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

int exec_begin(const char *call, const char *path) {
  if (standing != STANDING_INSIDE) return 0;
  // A forked child that has charged nothing leaves nothing behind, and its program will join by itself.
  if (muted) member_page(); // it is by its mailbox that it asks
  else if (!member_joined() && !(known_flags & BC_ANSWER_LEASED) && known_flags & BC_ANSWER_KNOWN && surely_covered(path)) return 0;
  struct bc_request request = {.kind = BC_EXEC};
  struct bc_answer answer;
  ask_text(request.call, sizeof request.call, call);
  ask_text(request.detail, sizeof request.detail, path);
  return ask(&request, &answer, NULL) == ASK_ANSWERED ? answer.error : 0;
}

void exec_failed(void) {
  if (standing != STANDING_INSIDE) return;
  struct bc_request request = {.kind = BC_EXEC_FAILED};
  tell(&request);
}
