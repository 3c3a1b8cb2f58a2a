// Unwind information for an address: through the sorted table that linkers write (.eh_frame_hdr), which libunwind
// searches; else, where a file has none, from .eh_frame or .debug_frame read in order.
#include "entries.h"

int walk_find(struct walk *w, unw_addr_space_t as, uint64_t address, unw_proc_info_t *found, int need) {
  uint64_t bias;
  long i = walk_mapping(w, address);
  struct witness_image *image = i < 0 || !w->space->mappings[i].executable ? NULL : walk_image(w, address, &bias);
  if (!image) return -UNW_ENOINFO;
  unw_dyn_info_t info = {
      .start_ip = w->space->mappings[i].start,
      .end_ip = w->space->mappings[i].end,
      .format = UNW_INFO_FORMAT_REMOTE_TABLE,
  };
  if (image->table_count) {
    info.u.rti.segbase = image->table_base + bias;
    info.u.rti.table_data = image->table + bias;
    info.u.rti.table_len = image->table_count; // in words, of which an entry is one
    int error = unwind.dwarf_search_unwind_table(as, address, &info, found, need, w);
    if (error != -UNW_ENOINFO) return error;
  }
  if (!entries_find(w, image, address - bias, bias, &info.u.rti)) return -UNW_ENOINFO;
  return unwind.dwarf_search_unwind_table(as, address, &info, found, need, w);
}
