// Locks of files: one unit of numflock for each record that the kernel keeps.
#ifndef SHIM_LOCKS_H
#define SHIM_LOCKS_H

#include "owned.h"
#include "ranges.h"

#include <fcntl.h>

// Commands of fcntl(2) that make or free such a record.
static inline bool locks(int command) {
  return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW || command == F_SETLEASE;
}

int locked_by(int (*next)(int, int, long), const char *call, int fd, int command, long argument);

#endif
