// Names from symbol tables. Only a symbol whose size covers the address gives its name: in a stripped file the nearest
// one before it is another function, more often than not.
#include "symbols.h"

#include <stdlib.h>
#include <string.h>

enum { SYMBOLS_MOST = 1 << 20, NESTED = 16 };

// Of several names for one function, the one that people call it by: global before local, plain before underscored.
static uint32_t rank(const GElf_Sym *s, const char *name) {
  uint32_t underscores = 0;
  while (name[underscores] == '_' && underscores < 8) underscores++;
  return (GELF_ST_BIND(s->st_info) == STB_LOCAL ? 1000 : 0) + underscores * 100 + (strchr(name, '@') ? 50 : 0);
}

static void add(struct witness_image *image, Elf *elf, uint32_t type) {
  for (Elf_Scn *section = NULL; elf && (section = dw.elf_nextscn(elf, section));) {
    GElf_Shdr header;
    Elf_Data *data = NULL;
    if (!dw.gelf_getshdr(section, &header) || header.sh_type != type || !header.sh_entsize) continue;
    if (!(data = dw.elf_getdata(section, NULL))) continue;
    size_t count = data->d_size / sizeof(Elf64_Sym);
    if (count > SYMBOLS_MOST - image->symbol_count) continue;
    struct symbol *more = realloc(image->symbols, (image->symbol_count + count + 1) * sizeof *more);
    if (!more) continue;
    image->symbols = more;
    for (size_t i = 0; i < count; i++) {
      GElf_Sym s;
      if (!dw.gelf_getsym(data, (int)i, &s) || s.st_shndx == SHN_UNDEF || !s.st_size) continue;
      int what = GELF_ST_TYPE(s.st_info);
      if (what != STT_FUNC && what != STT_GNU_IFUNC) continue;
      const char *name = dw.elf_strptr(elf, header.sh_link, s.st_name);
      if (!name || !*name || s.st_value + s.st_size < s.st_value) continue;
      image->symbols[image->symbol_count++] =
          (struct symbol){s.st_value, s.st_value + s.st_size, name, rank(&s, name)};
    }
  }
}

static int by_start(const void *a, const void *b) {
  const struct symbol *x = a, *y = b;
  if (x->start != y->start) return x->start < y->start ? -1 : 1;
  if (x->rank != y->rank) return x->rank > y->rank ? -1 : 1; // the best last, where the search ends
  return strcmp(y->name, x->name);
}

const char *symbols_name(struct witness_image *image, uint64_t address) {
  if (!image->symbols_read) {
    image->symbols_read = true;
    image_open_self(image);
    add(image, image->self.elf, SHT_SYMTAB);
    if (!image->symbol_count) add(image, image->debug.elf, SHT_SYMTAB);
    add(image, image->self.elf, SHT_DYNSYM);
    if (image->symbols) qsort(image->symbols, image->symbol_count, sizeof *image->symbols, by_start);
  }
  size_t low = 0, high = image->symbol_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (image->symbols[middle].start <= address) low = middle + 1;
    else high = middle;
  }
  for (size_t i = low; i > 0 && low - i < NESTED; i--) {
    if (address < image->symbols[i - 1].end) return image->symbols[i - 1].name;
  }
  return NULL;
}
