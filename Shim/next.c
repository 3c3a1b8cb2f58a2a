// Looks the next definition up the way ld.so would: along the link map behind us, by GNU hash, default versions only.
#include "next.h"

#include "inject.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>

// ld.so's own list. _r_debug keeps it in load order: the main program, the preloaded libraries, then the needed ones
// breadth first, which is the order of the global scope. Objects of dlopen come last, behind libc.
extern struct r_debug _r_debug __attribute__((weak)); // weak: it is ld.so that has it, and only libc need be named
extern ElfW(Dyn) _DYNAMIC[] __attribute__((visibility("hidden")));

static long no_such_call(void) {
  errno = ENOSYS;
  return -1;
}

static uint32_t gnu_hash(const char *name) {
  uint32_t h = 5381;
  for (; *name; name++) h = h * 33 + (unsigned char)*name;
  return h;
}

static int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

struct tables {
  const uint32_t *hash;
  const ElfW(Sym) *symbols;
  const char *strings;
  const ElfW(Versym) *versions;
};

// ld.so relocates the pointers of a dynamic section in place, except where the section is read-only (the vDSO).
static struct tables tables_of(const struct link_map *map) {
  struct tables t = {0};
  for (const ElfW(Dyn) *d = map->l_ld; d && d->d_tag != DT_NULL; d++) {
    ElfW(Addr) at = d->d_un.d_ptr < map->l_addr ? d->d_un.d_ptr + map->l_addr : d->d_un.d_ptr;
    if (d->d_tag == DT_GNU_HASH) t.hash = (const uint32_t *)at;
    if (d->d_tag == DT_SYMTAB) t.symbols = (const ElfW(Sym) *)at;
    if (d->d_tag == DT_STRTAB) t.strings = (const char *)at;
    if (d->d_tag == DT_VERSYM) t.versions = (const ElfW(Versym) *)at;
  }
  return t;
}

static void *defined_in(const struct link_map *map, const char *name, uint32_t hash) {
  struct tables t = tables_of(map);
  if (!t.hash || !t.symbols || !t.strings) return NULL;
  uint32_t buckets = t.hash[0], first = t.hash[1], words = t.hash[2], shift = t.hash[3];
  if (!buckets || !words) return NULL;
  const ElfW(Addr) *bloom = (const ElfW(Addr) *)(t.hash + 4);
  const uint32_t *bucket = (const uint32_t *)(bloom + words), *chain = bucket + buckets;
  enum { BITS = 8 * sizeof(ElfW(Addr)) };
  ElfW(Addr) word = bloom[hash / BITS % words];
  if (!(word >> (hash % BITS) & word >> (hash >> shift) % BITS & 1)) return NULL;
  for (uint32_t i = bucket[hash % buckets]; i >= first; i++) {
    const ElfW(Sym) *s = &t.symbols[i];
    int hidden = t.versions && (t.versions[i] & 0x8000); // an old version, kept for old binaries
    if ((chain[i - first] | 1) == (hash | 1) && !hidden && s->st_shndx != SHN_UNDEF && same(t.strings + s->st_name, name) &&
        ELF64_ST_TYPE(s->st_info) != STT_GNU_IFUNC && ELF64_ST_TYPE(s->st_info) != STT_TLS)
      return (void *)(map->l_addr + s->st_value);
    if (chain[i - first] & 1) break;
  }
  return NULL;
}

void *next_find(const char *name) {
  void *asking = inject_find(name);
  return asking ? asking : next_real(name);
}

void *next_real(const char *name) {
  uint32_t hash = gnu_hash(name);
  const struct link_map *map = _r_debug.r_map;
  while (map && map->l_ld != _DYNAMIC) map = map->l_next;
  for (map = map ? map->l_next : NULL; map; map = map->l_next) {
    void *found = defined_in(map, name, hash);
    if (found) return found;
  }
  return (void *)no_such_call;
}
