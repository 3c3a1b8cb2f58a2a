// The functions of libunwind and libdw that are used, found at the first use.
#ifndef CWITNESS_LIBRARIES_H
#define CWITNESS_LIBRARIES_H

#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <gelf.h>
#include <libelf.h>
#include <libunwind.h>

// The remote flavour, whose names carry the machine's: _Ux86_64_step and so on.
extern int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t, unw_word_t, unw_dyn_info_t *, unw_proc_info_t *, int,
                                              void *);

#define LIBUNWIND(X) \
  X(create_addr_space) X(destroy_addr_space) X(set_caching_policy) X(init_remote) X(step) X(get_reg) \
  X(is_signal_frame) X(dwarf_search_unwind_table)

#define LIBDW(X) \
  X(elf_version) X(elf_begin) X(elf_end) X(elf_kind) X(elf_strptr) X(elf_nextscn) X(elf_getshdrstrndx) X(elf_getdata) X(elf_compress) \
  X(gelf_getehdr) X(gelf_getshdr) X(gelf_getchdr) X(gelf_getsym) \
  X(dwarf_begin_elf) X(dwarf_end) X(dwarf_setalt) X(dwelf_elf_gnu_build_id) X(dwelf_elf_gnu_debuglink) \
  X(dwelf_dwarf_gnu_debugaltlink) \
  X(dwarf_nextcu) X(dwarf_offdie) X(dwarf_getaranges) X(dwarf_getarange_addr) X(dwarf_getarangeinfo) X(dwarf_ranges) \
  X(dwarf_haspc) X(dwarf_tag) X(dwarf_child) X(dwarf_siblingof) X(dwarf_attr_integrate) X(dwarf_attr) \
  X(dwarf_formstring) X(dwarf_formudata) X(dwarf_getsrc_die) X(dwarf_linesrc) X(dwarf_lineno) X(dwarf_getsrcfiles) \
  X(dwarf_filesrc)

struct libunwind {
#define MEMBER(name) __typeof__(UNW_OBJ(name)) *name;
  LIBUNWIND(MEMBER)
#undef MEMBER
};

struct libdw {
#define MEMBER(name) __typeof__(name) *name;
  LIBDW(MEMBER)
#undef MEMBER
};

// Valid when witness_missing() is null.
extern struct libunwind unwind;
extern struct libdw dw;

#endif
