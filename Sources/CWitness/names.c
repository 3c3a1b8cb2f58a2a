// Functions and lines from DWARF. libdw has no bounds of its own on how deep entries nest and how often they refer, so
// the walk over them is ours, with a budget.
#include "symbols.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MOST = 1 << 19, DEPTH_MOST = 32, UNITS_MOST = 1 << 17, UNIT_RANGES_MOST = 1 << 20 };

struct search {
  uint64_t address;
  unsigned entries; // looked at so far
};

static int by_start(const void *a, const void *b) {
  const struct unit *x = a, *y = b;
  return x->start < y->start ? -1 : x->start > y->start;
}

// clang writes no .debug_aranges unless asked to: then every unit says itself what it covers.
static void read_units(struct witness_image *image, Dwarf *dwarf) {
  size_t room = 0, size;
  image->units_read = true;
  Dwarf_Off at = 0, next;
  for (unsigned n = 0; n < UNITS_MOST && dw.dwarf_nextcu(dwarf, at, &next, &size, NULL, NULL, NULL) == 0; n++) {
    Dwarf_Die die;
    Dwarf_Addr base, start, end;
    Dwarf_Off offset = at + size;
    if (next <= at) break;
    at = next;
    if (!dw.dwarf_offdie(dwarf, offset, &die) || dw.dwarf_tag(&die) != DW_TAG_compile_unit) continue;
    for (ptrdiff_t i = 0; (i = dw.dwarf_ranges(&die, i, &base, &start, &end)) > 0;) {
      if (start >= end || image->unit_count >= UNIT_RANGES_MOST) continue;
      if (image->unit_count == room) {
        struct unit *more = realloc(image->units, (room = room ? room * 2 : 256) * sizeof *more);
        if (!more) return;
        image->units = more;
      }
      image->units[image->unit_count++] = (struct unit){start, end, offset};
    }
  }
  if (image->units) qsort(image->units, image->unit_count, sizeof *image->units, by_start);
}

static bool unit_of(struct witness_image *image, Dwarf *dwarf, uint64_t address, Dwarf_Die *unit) {
  Dwarf_Aranges *ranges;
  size_t count;
  Dwarf_Off offset;
  if (dw.dwarf_getaranges(dwarf, &ranges, &count) == 0) {
    Dwarf_Arange *range = dw.dwarf_getarange_addr(ranges, address);
    if (range && dw.dwarf_getarangeinfo(range, NULL, NULL, &offset) == 0) return dw.dwarf_offdie(dwarf, offset, unit);
  }
  if (!image->units_read) read_units(image, dwarf);
  size_t low = 0, high = image->unit_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (image->units[middle].start <= address) low = middle + 1;
    else high = middle;
  }
  return low > 0 && address < image->units[low - 1].end && dw.dwarf_offdie(dwarf, image->units[low - 1].die, unit);
}

static bool has_members(int tag) {
  return tag == DW_TAG_namespace || tag == DW_TAG_module || tag == DW_TAG_structure_type || tag == DW_TAG_class_type ||
         tag == DW_TAG_union_type;
}

// The function that has the address. Local ones (nested in functions) are looked for when `deep`.
static bool function_of(struct search *s, Dwarf_Die *parent, bool deep, int depth, Dwarf_Die *found) {
  Dwarf_Die die;
  if (depth > DEPTH_MOST || dw.dwarf_child(parent, &die) != 0) return false;
  do {
    if (s->entries++ > ENTRIES_MOST) return false;
    int tag = dw.dwarf_tag(&die);
    if (tag == DW_TAG_subprogram && dw.dwarf_haspc(&die, s->address) > 0) {
      if (!deep || !function_of(s, &die, true, depth + 1, found)) *found = die;
      return true;
    }
    bool inside = has_members(tag) || (deep && (tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block));
    if (inside && function_of(s, &die, deep, depth + 1, found)) return true;
  } while (dw.dwarf_siblingof(&die, &die) == 0);
  return false;
}

// One level down towards the address; false at the innermost.
static bool inward(struct search *s, Dwarf_Die *at) {
  Dwarf_Die die;
  if (dw.dwarf_child(at, &die) != 0) return false;
  do {
    if (s->entries++ > ENTRIES_MOST) return false;
    int tag = dw.dwarf_tag(&die);
    if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block) && dw.dwarf_haspc(&die, s->address) > 0) {
      *at = die;
      return true;
    }
  } while (dw.dwarf_siblingof(&die, &die) == 0);
  return false;
}

static const char *text(Dwarf_Die *die, unsigned attribute) {
  Dwarf_Attribute a;
  return dw.dwarf_formstring(dw.dwarf_attr_integrate(die, attribute, &a));
}

// C++ and Rust say more in the name for the linker (scope, parameters); others say it in the plain name.
static const char *function_name(Dwarf_Die *die) {
  const char *linkage = text(die, DW_AT_linkage_name);
  if (!linkage) linkage = text(die, DW_AT_MIPS_linkage_name);
  if (linkage && linkage[0] == '_' && linkage[1] == 'Z') return linkage;
  const char *plain = text(die, DW_AT_name);
  return plain ? plain : linkage;
}

static void called_at(Dwarf_Die *unit, Dwarf_Die *inlined, struct witness_name *name) {
  Dwarf_Attribute a;
  Dwarf_Word file, line;
  Dwarf_Files *files;
  size_t count;
  if (dw.dwarf_formudata(dw.dwarf_attr(inlined, DW_AT_call_line, &a), &line) == 0 && line <= INT32_MAX)
    name->line = (int32_t)line;
  if (dw.dwarf_formudata(dw.dwarf_attr(inlined, DW_AT_call_file, &a), &file) == 0 &&
      dw.dwarf_getsrcfiles(unit, &files, &count) == 0 && file < count)
    name->file = dw.dwarf_filesrc(files, file, NULL, NULL);
}

static size_t from_dwarf(struct witness_image *image, Dwarf *dwarf, uint64_t address, struct witness_name *names,
                         size_t room) {
  struct search s = {.address = address};
  Dwarf_Die unit, chain[DEPTH_MOST], at;
  if (!unit_of(image, dwarf, address, &unit)) return 0;
  if (!function_of(&s, &unit, false, 0, &at) && !function_of(&s, &unit, true, 0, &at)) return 0;
  size_t depth = 0;
  chain[depth++] = at;
  for (int steps = 0; steps < 4 * DEPTH_MOST && depth < DEPTH_MOST && inward(&s, &at); steps++) {
    if (dw.dwarf_tag(&at) == DW_TAG_inlined_subroutine) chain[depth++] = at;
  }
  size_t n = 0;
  for (size_t i = depth; i-- > 0 && n < room; n++) {
    struct witness_name name = {.function = function_name(&chain[i]), .inlined = i > 0};
    int line = 0;
    if (i + 1 < depth) {
      called_at(&unit, &chain[i + 1], &name);
    } else {
      Dwarf_Line *row = dw.dwarf_getsrc_die(&unit, address);
      if (row && dw.dwarf_lineno(row, &line) == 0 && line > 0) {
        name.line = line;
        name.file = dw.dwarf_linesrc(row, NULL, NULL);
      }
    }
    names[n] = name;
  }
  return n;
}

size_t witness_image_names(struct witness_image *image, uint64_t address, struct witness_name *names, size_t room) {
  uint8_t id[64];
  if (!room) return 0;
  image_open_debug(image);
  Dwarf *dwarf = image->self.dwarf ? image->self.dwarf : image->debug.dwarf;
  if (dwarf && witness_image_common_id(image, id, sizeof id) && !image->common.dwarf) dwarf = NULL;
  size_t n = dwarf ? from_dwarf(image, dwarf, address, names, room) : 0;
  if (n && names[n - 1].function) return n;
  const char *symbol = symbols_name(image, address);
  if (!symbol) return n;
  if (!n) names[n++] = (struct witness_name){0};
  names[n - 1].function = symbol;
  return n;
}
