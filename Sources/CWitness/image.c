#define _GNU_SOURCE
#include "image.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64 };
#endif

static bool read_live(const struct witness_image *image, uint64_t offset, void *to, size_t length) {
  for (size_t i = 0; i < image->range_count; i++) {
    const struct witness_live_range *r = &image->ranges[i];
    if (offset < r->offset || offset - r->offset > r->length || length > r->length - (offset - r->offset)) continue;
    struct iovec here = {to, length}, there = {(void *)(r->address + (offset - r->offset)), length};
    return process_vm_readv(image->pid, &here, 1, &there, 1, 0) == (ssize_t)length;
  }
  return false;
}

// libunwind reads a word at a time: a page of the file answers hundreds of them.
static const uint8_t *page(struct witness_image *image, uint64_t offset, uint32_t *length) {
  size_t slot = offset / IMAGE_PAGE % IMAGE_PAGES;
  uint64_t start = offset - offset % IMAGE_PAGE;
  if (!image->pages[slot] && !(image->pages[slot] = malloc(IMAGE_PAGE))) return NULL;
  if (!image->page_lengths[slot] || image->page_offsets[slot] != start) {
    ssize_t n = pread(image->fd, image->pages[slot], IMAGE_PAGE, (off_t)start);
    image->page_offsets[slot] = start;
    image->page_lengths[slot] = n > 0 ? (uint32_t)n : 0;
  }
  *length = image->page_lengths[slot];
  return image->pages[slot];
}

bool image_read(struct witness_image *image, uint64_t offset, void *to, size_t length) {
  if (offset > INT64_MAX - IMAGE_PAGE || length > INT32_MAX) return false;
  if (image->fd < 0) return read_live(image, offset, to, length);
  while (length) {
    uint32_t have;
    const uint8_t *from = page(image, offset, &have);
    uint32_t at = offset % IMAGE_PAGE;
    if (!from || at >= have) return false;
    size_t n = have - at < length ? have - at : length;
    memcpy(to, from + at, n);
    to = (char *)to + n, offset += n, length -= n;
  }
  return true;
}

bool image_read_address(struct witness_image *image, uint64_t address, void *to, size_t length) {
  for (size_t i = 0; i < image->segment_count; i++) {
    const struct image_segment *s = &image->segments[i];
    if (address >= s->address && address - s->address < s->length && length <= s->length - (address - s->address))
      return image_read(image, s->offset + (address - s->address), to, length);
  }
  return false;
}

// A mapping starts at the page that a segment starts in, which may be before the segment.
bool witness_image_address(const struct witness_image *image, uint64_t offset, uint64_t *address) {
  for (size_t i = 0; i < image->segment_count; i++) {
    const struct image_segment *s = &image->segments[i];
    uint64_t before = s->offset % IMAGE_PAGE;
    if (offset >= s->offset - before && offset - (s->offset - before) < s->length + before) {
      *address = s->address - before + (offset - (s->offset - before));
      return true;
    }
  }
  return false;
}

// One pointer of .eh_frame_hdr: its value does not matter, only where it ends.
static size_t encoded_size(uint8_t encoding) {
  switch (encoding & 0x0f) {
    case 0x00: case 0x04: case 0x0c: return 8; // absolute, udata8, sdata8
    case 0x03: case 0x0b: return 4;            // udata4, sdata4
    default: return 0;
  }
}

// .eh_frame_hdr (LSB, "Exception Frame Header"): version 1, three encodings, where .eh_frame is, how many entries, then
// a sorted table of (function, entry) relative to the header. Linkers write no other encodings than these.
static void read_frame_header(struct witness_image *image) {
  uint8_t head[4];
  if (!image->frame_header || !image_read_address(image, image->frame_header, head, sizeof head)) return;
  size_t pointer = encoded_size(head[1]);
  if (head[0] != 1 || !pointer || head[2] != 0x03 || head[3] != 0x3b) return;
  uint32_t count;
  if (!image_read_address(image, image->frame_header + 4 + pointer, &count, sizeof count)) return;
  image->table = image->frame_header + 4 + pointer + 4;
  image->table_base = image->frame_header;
  image->table_count = count < (1u << 27) ? count : 0;
}

static bool read_headers(struct witness_image *image) {
  Elf64_Ehdr e;
  if (!image_read(image, 0, &e, sizeof e) || memcmp(e.e_ident, ELFMAG, SELFMAG) || e.e_ident[EI_CLASS] != ELFCLASS64 ||
      e.e_ident[EI_DATA] != ELFDATA2LSB || e.e_machine != MACHINE || e.e_phentsize != sizeof(Elf64_Phdr) ||
      (e.e_type != ET_EXEC && e.e_type != ET_DYN))
    return false;
  for (unsigned i = 0; i < e.e_phnum && image->segment_count < IMAGE_SEGMENTS; i++) {
    Elf64_Phdr p;
    if (!image_read(image, e.e_phoff + i * sizeof p, &p, sizeof p)) return false;
    if (p.p_type == PT_GNU_EH_FRAME) image->frame_header = p.p_vaddr;
    if (p.p_type != PT_LOAD || p.p_offset > INT64_MAX / 2 || p.p_filesz > INT64_MAX / 2) continue;
    image->segments[image->segment_count++] = (struct image_segment){p.p_offset, p.p_vaddr, p.p_filesz};
  }
  read_frame_header(image);
  return image->segment_count > 0;
}

static struct witness_image *create(void) {
  struct witness_image *image = witness_missing() ? NULL : calloc(1, sizeof *image);
  if (image) image->fd = image->self.fd = image->debug.fd = image->common.fd = -1;
  return image;
}

static struct witness_image *checked(struct witness_image *image) {
  if (image && read_headers(image)) return image;
  if (image) witness_image_close(image);
  return NULL;
}

struct witness_image *witness_image_open(int fd) {
  struct stat s;
  struct witness_image *image = fstat(fd, &s) == 0 && S_ISREG(s.st_mode) ? create() : NULL;
  if (image) image->fd = fd;
  else close(fd);
  return checked(image);
}

struct witness_image *witness_image_live(int32_t pid, const struct witness_live_range *ranges, size_t count) {
  struct witness_image *image = create();
  if (!image) return NULL;
  image->pid = pid;
  image->range_count = count < IMAGE_RANGES ? count : IMAGE_RANGES;
  memcpy(image->ranges, ranges, image->range_count * sizeof *ranges);
  return checked(image);
}

void witness_image_close(struct witness_image *image) {
  image_file_close(&image->debug);
  image_file_close(&image->self);
  image_file_close(&image->common); // last: the others refer to it
  for (size_t i = 0; i < IMAGE_PAGES; i++) free(image->pages[i]);
  free(image->symbols);
  free(image->units);
  if (image->fd >= 0) close(image->fd);
  free(image);
}

int witness_image_descriptor(const struct witness_image *image) { return image->fd; }

uint64_t witness_image_cost(const struct witness_image *image) {
  return sizeof *image + IMAGE_PAGES * IMAGE_PAGE + image->self.cost + image->debug.cost + image->common.cost +
         image->symbol_count * sizeof(struct symbol) + image->unit_count * sizeof(struct unit);
}
