// Unwind information that no table leads to: .eh_frame without its header, and .debug_frame.
#ifndef CWITNESS_ENTRIES_H
#define CWITNESS_ENTRIES_H

#include "walk.h"

// Puts the entry for an address (the file's own) into the scratch of w, with a table of that one entry behind it, in
// the form that .eh_frame has in memory; `bias` is what the process adds to addresses. False when there is none.
bool entries_find(struct walk *w, struct witness_image *image, uint64_t own, uint64_t bias,
                  unw_dyn_remote_table_info_t *table);

#endif
