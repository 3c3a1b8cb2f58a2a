// libelf and libdw on a file, and the separate files that its debug information may be in.
#include "image.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Read into memory whole, and by the server: more than this of one file, unpacked, is left alone.
static const uint64_t DEBUG_MOST = 256ull << 20;

bool image_file_open(struct image_file *file, int fd) {
  struct stat s;
  if (fd >= 0 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode)) {
    // Not mapped: what maps a file that someone truncates dies of SIGBUS.
    Elf *elf = dw.elf_begin(fd, ELF_C_READ, NULL);
    if (elf && dw.elf_kind(elf) == ELF_K_ELF) {
      *file = (struct image_file){.fd = fd, .elf = elf};
      return true;
    }
    if (elf) dw.elf_end(elf);
  }
  if (fd >= 0) close(fd);
  return false;
}

void image_file_close(struct image_file *file) {
  if (file->dwarf) dw.dwarf_end(file->dwarf);
  if (file->elf) dw.elf_end(file->elf);
  if (file->fd >= 0) close(file->fd);
  *file = (struct image_file){.fd = -1};
}

// The size of the debug sections as they will be in memory; 0 when there is no .debug_info that we read.
static uint64_t debug_size(Elf *elf) {
  size_t names;
  uint64_t sum = 0;
  bool info = false;
  if (dw.elf_getshdrstrndx(elf, &names) < 0) return 0;
  for (Elf_Scn *s = NULL; (s = dw.elf_nextscn(elf, s));) {
    GElf_Shdr header;
    GElf_Chdr packed;
    if (!dw.gelf_getshdr(s, &header)) return 0;
    const char *name = dw.elf_strptr(elf, names, header.sh_name);
    if (!name || (strncmp(name, ".debug_", 7) && strncmp(name, ".zdebug_", 8))) continue;
    if (name[1] == 'z') return 0; // packed the way that binutils gave up in 2016
    uint64_t size = header.sh_size;
    if (header.sh_flags & SHF_COMPRESSED) {
      if (!dw.gelf_getchdr(s, &packed)) return 0;
      size += packed.ch_size;
    }
    if (header.sh_type != SHT_NOBITS && !strcmp(name, ".debug_info")) info = true;
    if (header.sh_type != SHT_NOBITS && (size > DEBUG_MOST || (sum += size) > DEBUG_MOST)) return 0;
  }
  return info ? sum : 0;
}

bool image_file_dwarf(struct image_file *file) {
  uint64_t size = file->dwarf ? 0 : debug_size(file->elf);
  if (size && (file->dwarf = dw.dwarf_begin_elf(file->elf, DWARF_C_READ, NULL))) file->cost += size;
  return file->dwarf != NULL;
}

void image_open_self(struct witness_image *image) {
  if (image->opened) return;
  image->opened = true;
  if (image->fd >= 0) image_file_open(&image->self, dup(image->fd));
}

void image_open_debug(struct witness_image *image) {
  if (image->debug_opened) return;
  image->debug_opened = true;
  image_open_self(image);
  if (image->self.elf) image_file_dwarf(&image->self);
}

bool witness_image_has_debug(struct witness_image *image) {
  image_open_debug(image);
  return image->self.dwarf || image->debug.dwarf;
}

static size_t build_id(Elf *elf, uint8_t *id, size_t room) {
  const void *bytes = NULL;
  ssize_t n = elf ? dw.dwelf_elf_gnu_build_id(elf, &bytes) : -1;
  if (n <= 0 || (size_t)n > room) return 0;
  memcpy(id, bytes, (size_t)n);
  return (size_t)n;
}

size_t witness_image_build_id(struct witness_image *image, uint8_t *id, size_t room) {
  image_open_self(image);
  return build_id(image->self.elf, id, room);
}

const char *witness_image_debug_link(struct witness_image *image, uint32_t *crc) {
  image_open_self(image);
  GElf_Word sum;
  const char *name = image->self.elf ? dw.dwelf_elf_gnu_debuglink(image->self.elf, &sum) : NULL;
  if (name) *crc = sum;
  return name;
}

// CRC-32 as zlib has it, over the whole file (binutils, .gnu_debuglink).
static bool crc_of(int fd, uint32_t *sum) {
  uint8_t block[4096];
  uint32_t crc = ~0u;
  uint64_t at = 0;
  for (ssize_t n; (n = pread(fd, block, sizeof block, (off_t)at)) != 0; at += (uint64_t)n) {
    if (n < 0 || at > 2 * DEBUG_MOST) return false;
    for (ssize_t i = 0; i < n; i++) {
      crc ^= block[i];
      for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
  }
  *sum = ~crc;
  return true;
}

bool witness_image_add_debug(struct witness_image *image, int fd, bool check_crc) {
  uint8_t mine[64], theirs[64];
  uint32_t wanted, crc;
  struct image_file file = {.fd = -1};
  image_open_self(image);
  if (!image->self.elf || image->debug.elf) {
    if (fd >= 0) close(fd);
    return false;
  }
  if (!image_file_open(&file, fd)) return false;
  size_t n = build_id(image->self.elf, mine, sizeof mine);
  bool same = n && build_id(file.elf, theirs, sizeof theirs) == n && !memcmp(mine, theirs, n);
  if (!n && check_crc) same = witness_image_debug_link(image, &wanted) && crc_of(file.fd, &crc) && crc == wanted;
  if (!same) {
    image_file_close(&file);
    return false;
  }
  image_file_dwarf(&file); // even without, its symbols are worth having
  image->debug = file;
  return true;
}

static Dwarf *dwarf_of(const struct witness_image *image) {
  return image->self.dwarf ? image->self.dwarf : image->debug.dwarf;
}

size_t witness_image_common_id(struct witness_image *image, uint8_t *id, size_t room) {
  const char *name;
  const void *bytes;
  Dwarf *dwarf = dwarf_of(image);
  ssize_t n = dwarf ? dw.dwelf_dwarf_gnu_debugaltlink(dwarf, &name, &bytes) : 0;
  if (n <= 0 || (size_t)n > room) return 0;
  memcpy(id, bytes, (size_t)n);
  return (size_t)n;
}

// libdw would go and open whatever path the file names. So information that lacks its common file is not used at all.
bool witness_image_add_common(struct witness_image *image, int fd) {
  uint8_t wanted[64], id[64];
  size_t n = witness_image_common_id(image, wanted, sizeof wanted);
  if (n && !image->common.elf && image_file_open(&image->common, fd)) {
    if (build_id(image->common.elf, id, sizeof id) == n && !memcmp(id, wanted, n) && image_file_dwarf(&image->common)) {
      dw.dwarf_setalt(dwarf_of(image), image->common.dwarf);
      return true;
    }
    image_file_close(&image->common);
  }
  return false;
}
