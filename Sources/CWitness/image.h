// One ELF file: its headers, its bytes by file offset, and what libelf and libdw hold of it.
#ifndef CWITNESS_IMAGE_H
#define CWITNESS_IMAGE_H

#include "cwitness.h"
#include "libraries.h"

enum { IMAGE_SEGMENTS = 64, IMAGE_RANGES = 32, IMAGE_PAGES = 16, IMAGE_PAGE = 4096 };

struct image_segment {
  uint64_t offset, address, length; // what the file has of it
};

struct symbol {
  uint64_t start, end;
  const char *name;
  uint32_t rank; // which of several names of one function: the lower the better
};

struct unit {
  uint64_t start, end;
  Dwarf_Off die;
};

// An ELF file that libelf reads, and the DWARF in it.
struct image_file {
  int fd; // −1: none
  Elf *elf;
  Dwarf *dwarf;
  uint64_t cost; // bytes of debug sections and symbols
};

struct witness_image {
  int fd; // −1: what a process has mapped
  int32_t pid;
  size_t range_count;
  struct witness_live_range ranges[IMAGE_RANGES];

  size_t segment_count;
  struct image_segment segments[IMAGE_SEGMENTS];
  uint64_t frame_header; // address of .eh_frame_hdr, in the file's own addresses; 0: none
  uint64_t table;        // of its sorted table
  uint64_t table_base;
  uint32_t table_count;  // entries; 0: no table that can be searched

  uint8_t *pages[IMAGE_PAGES]; // file pages lately read
  uint64_t page_offsets[IMAGE_PAGES];
  uint32_t page_lengths[IMAGE_PAGES];

  bool opened, debug_opened, symbols_read, units_read; // lazily, each once
  struct image_file self, debug, common;
  struct symbol *symbols;
  size_t symbol_count;
  struct unit *units; // of compilation units that .debug_aranges leaves out
  size_t unit_count;
};

// All of it or nothing.
bool image_read(struct witness_image *image, uint64_t offset, void *to, size_t length);
bool image_read_address(struct witness_image *image, uint64_t address, void *to, size_t length);

// libelf on the file itself, at the first call.
void image_open_self(struct witness_image *image);
// libdw too, which unpacks all debug sections at once: for names, never to unwind.
void image_open_debug(struct witness_image *image);
// A descriptor that it takes over; false when that is not an ELF file.
bool image_file_open(struct image_file *file, int fd);
void image_file_close(struct image_file *file);
// False when its debug information is missing, or too large, or packed in a way that we leave alone.
bool image_file_dwarf(struct image_file *file);

#endif
