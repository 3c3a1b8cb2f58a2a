// Go makes its system calls itself, also where it is linked with libc: what it opens and maps is not seen here. A program that is
// built by it says so (cmd/link: a note "Go" with the build id), and so do we, before it begins.
#define _GNU_SOURCE
#include "../member.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

static bool has_note(const char *at, size_t size) {
  enum { GO_BUILD_ID = 4 };
  const ElfW(Nhdr) *note;
  for (size_t i = 0; size >= sizeof *note && i <= size - sizeof *note;) {
    note = (const ElfW(Nhdr) *)(at + i);
    size_t name = i + sizeof *note, next = name + ((note->n_namesz + 3u) & -4u) + ((note->n_descsz + 3u) & -4u);
    if (note->n_type == GO_BUILD_ID && note->n_namesz == 4 && name + 4 <= size && memcmp(at + name, "Go\0", 4) == 0) return true;
    i = next;
  }
  return false;
}

static bool is_of_go(void) {
  const ElfW(Phdr) *header = (const ElfW(Phdr) *)getauxval(AT_PHDR);
  uintptr_t moved = 0;
  unsigned long n = header ? getauxval(AT_PHNUM) : 0;
  for (unsigned long i = 0; i < n; i++)
    if (header[i].p_type == PT_PHDR) moved = (uintptr_t)header - header[i].p_vaddr;
  for (unsigned long i = 0; i < n; i++)
    if (header[i].p_type == PT_NOTE && has_note((const char *)(moved + header[i].p_vaddr), header[i].p_memsz)) return true;
  return false;
}

// After member.c's, before the program's own.
__attribute__((constructor(102))) static void started(void) {
  struct bc_page *page = is_of_go() ? member_page() : NULL;
  if (page) __atomic_store_n(&page->raw_calls, BC_RAW_ALWAYS, __ATOMIC_RELAXED);
}
