#include "entries.h"

#include <string.h>

static const size_t SECTION_MOST = 8 << 20; // read in order for each frame: a program without a table is a small one

struct cursor {
  const uint8_t *at, *end; // at = null after a read past the end
};

static uint64_t fixed(struct cursor *c, size_t n) {
  uint64_t value = 0;
  if (!c->at || n > (size_t)(c->end - c->at)) return c->at = NULL, 0;
  memcpy(&value, c->at, n);
  c->at += n;
  return value;
}

// A number in LEB128 whose value does not matter here, or is small.
static uint64_t leb(struct cursor *c) {
  uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    uint64_t byte = fixed(c, 1);
    if (!c->at || shift > 63) return c->at = NULL, 0;
    value |= (byte & 0x7f) << shift;
    if (!(byte & 0x80)) return value;
  }
}

// What one CIE says (DWARF 5 §6.4.1; LSB for the augmentations of .eh_frame).
struct common {
  struct cursor alignments; // code and data factors, as they stand
  uint64_t return_register;
  uint8_t encoding;
  bool augmented, signal;
  struct cursor instructions;
};

struct section {
  const uint8_t *bytes;
  size_t size;
  uint64_t address;
  bool debug; // .debug_frame
};

static uint64_t pointer(const struct section *s, struct cursor *c, uint8_t encoding, bool relative) {
  uint64_t place = s->address + (uint64_t)(c->at ? c->at - s->bytes : 0), value;
  switch (encoding & 0x0f) {
    case 0x00: case 0x04: case 0x0c: value = fixed(c, 8); break;
    case 0x03: value = fixed(c, 4); break;
    case 0x0b: value = relative ? (uint64_t)(int32_t)fixed(c, 4) : fixed(c, 4); break;
    default: return c->at = NULL, 0;
  }
  if (relative && (encoding & 0x70) == 0x10) value += place;
  else if (relative && encoding & 0x70) c->at = NULL;
  return value;
}

static bool read_common(const struct section *s, size_t offset, struct common *to) {
  if (offset > s->size) return false;
  struct cursor c = {s->bytes + offset, s->bytes + s->size};
  uint64_t length = fixed(&c, 4);
  if (!c.at || length >= 0xfffffff0 || length > (uint64_t)(c.end - c.at)) return false;
  c.end = c.at + length;
  if (fixed(&c, 4) != (s->debug ? 0xffffffff : 0)) return false;
  unsigned version = (unsigned)fixed(&c, 1);
  if (!c.at || (version != 1 && version != 3 && version != 4)) return false;
  const uint8_t *letters = c.at, *zero = memchr(c.at, 0, (size_t)(c.end - c.at));
  if (!zero) return false;
  c.at = zero + 1;
  if (version == 4 && (fixed(&c, 1) != 8 || fixed(&c, 1) != 0)) return false;
  to->alignments.at = c.at;
  leb(&c), leb(&c);
  to->alignments.end = c.at;
  to->return_register = version == 1 ? fixed(&c, 1) : leb(&c);
  to->encoding = 0, to->signal = false;
  to->augmented = *letters == 'z';
  if (*letters && !to->augmented) return false;
  if (to->augmented) {
    struct cursor data = {NULL, NULL};
    uint64_t size = leb(&c);
    if (!c.at || size > (uint64_t)(c.end - c.at)) return false;
    data.at = c.at, data.end = c.at + size;
    c.at += size;
    while (*++letters) {
      if (*letters == 'R') to->encoding = (uint8_t)fixed(&data, 1);
      else if (*letters == 'P') pointer(s, &data, (uint8_t)fixed(&data, 1), false);
      else if (*letters == 'L') fixed(&data, 1);
      else if (*letters == 'S') to->signal = true;
      else if (*letters != 'B') return false;
      if (!data.at) return false;
    }
  }
  to->instructions = c;
  return c.at != NULL;
}

static void put(struct walk *w, const void *bytes, size_t n) {
  if (w->scratch_length + n > sizeof w->scratch) w->scratch_length = sizeof w->scratch + 1; // full: seen at the end
  if (w->scratch_length > sizeof w->scratch) return;
  memcpy(w->scratch + w->scratch_length, bytes, n);
  w->scratch_length += (uint32_t)n;
}

static void put_number(struct walk *w, uint64_t value, size_t n) { put(w, &value, n); }

// Ends an entry that starts at `start`: pads it with DW_CFA_nop (0) and writes its length.
static void end_entry(struct walk *w, uint32_t start) {
  while (w->scratch_length % 8 && w->scratch_length < sizeof w->scratch) put_number(w, 0, 1);
  uint32_t length = w->scratch_length - start - 4;
  if (w->scratch_length <= sizeof w->scratch) memcpy(w->scratch + start, &length, sizeof length);
}

static bool write_out(struct walk *w, const struct common *common, struct cursor rest, uint64_t start, uint64_t length,
                      unw_dyn_remote_table_info_t *table) {
  w->scratch_length = 0;
  w->scratch_start = (start & ~(uint64_t)0xfff) - (1 << 30); // near enough for the table's 32 bits
  put_number(w, 0, 8);                                       // length, and id 0: a CIE
  put(w, common->signal ? "\1zRS" : "\1zR", common->signal ? 5 : 4);
  put(w, common->alignments.at, (size_t)(common->alignments.end - common->alignments.at));
  put_number(w, common->return_register, 1);
  put_number(w, 1, 1); // augmentation: one byte, absolute addresses
  put_number(w, 0, 1);
  put(w, common->instructions.at, (size_t)(common->instructions.end - common->instructions.at));
  end_entry(w, 0);
  uint32_t entry = w->scratch_length;
  put_number(w, 0, 4);
  put_number(w, entry + 4, 4); // back to the CIE at 0
  put_number(w, start, 8);
  put_number(w, length, 8);
  put_number(w, 0, 1); // no augmentation
  put(w, rest.at, (size_t)(rest.end - rest.at));
  end_entry(w, entry);
  *table = (unw_dyn_remote_table_info_t){
      .segbase = start, .table_len = 1, .table_data = w->scratch_start + w->scratch_length};
  put_number(w, 0, 4); // relative to the function's start
  put_number(w, (uint32_t)(w->scratch_start + entry - start), 4);
  if (w->scratch_length > sizeof w->scratch) return w->scratch_length = 0, false;
  return true;
}

static bool find_in(struct walk *w, const struct section *s, uint64_t own, uint64_t bias,
                    unw_dyn_remote_table_info_t *table) {
  struct cursor c = {s->bytes, s->bytes + s->size};
  while (c.at && c.end - c.at >= 8) {
    uint64_t length = fixed(&c, 4);
    const uint8_t *id_at = c.at;
    if (length < 4) continue; // a terminator, perhaps between the parts of a linked file
    if (length >= 0xfffffff0 || length > (uint64_t)(c.end - c.at)) return false;
    struct cursor entry = {c.at, c.at + length};
    c.at += length;
    uint64_t id = fixed(&entry, 4);
    if (id == (s->debug ? 0xffffffff : 0)) continue;
    struct common common;
    uint64_t where = s->debug ? id : (uint64_t)(id_at - s->bytes) - id;
    if (!read_common(s, where, &common)) continue;
    uint64_t start = pointer(s, &entry, common.encoding, true), span = pointer(s, &entry, common.encoding, false);
    if (common.augmented && entry.at) {
      uint64_t skip = leb(&entry);
      entry.at = entry.at && skip <= (uint64_t)(entry.end - entry.at) ? entry.at + skip : NULL;
    }
    if (entry.at && own - start < span) return write_out(w, &common, entry, start + bias, span, table);
  }
  return false;
}

// The bytes of a section, unpacked if they are packed; null when there are too many.
static Elf_Data *contents(Elf_Scn *section, GElf_Shdr *header) {
  GElf_Chdr packed;
  if (header->sh_size > SECTION_MOST) return NULL;
  if (header->sh_flags & SHF_COMPRESSED) {
    if (!dw.gelf_getchdr(section, &packed) || packed.ch_size > SECTION_MOST) return NULL;
    if (dw.elf_compress(section, 0, 0) < 0) return NULL;
  }
  return dw.elf_getdata(section, NULL);
}

bool entries_find(struct walk *w, struct witness_image *image, uint64_t own, uint64_t bias,
                  unw_dyn_remote_table_info_t *table) {
  size_t names;
  GElf_Shdr header;
  image_open_self(image);
  Elf *elf = image->self.elf;
  if (!elf || dw.elf_getshdrstrndx(elf, &names) < 0) return false;
  for (Elf_Scn *section = NULL; (section = dw.elf_nextscn(elf, section));) {
    if (!dw.gelf_getshdr(section, &header)) return false;
    const char *name = dw.elf_strptr(elf, names, header.sh_name);
    bool debug = name && !strcmp(name, ".debug_frame");
    if (!name || header.sh_type == SHT_NOBITS) continue;
    // A table that does not have the address speaks for its .eh_frame.
    if (!debug && (strcmp(name, ".eh_frame") || image->table_count)) continue;
    Elf_Data *data = contents(section, &header);
    if (!data || !data->d_buf || w->reads++ >= WALK_READS) continue;
    struct section s = {data->d_buf, data->d_size, header.sh_addr, debug};
    if (find_in(w, &s, own, bias, table)) return true;
  }
  return false;
}
