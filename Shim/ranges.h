// The byte ranges that this process has locked, as the kernel's own records of them (fcntl(2), POSIX and OFD): how many a
// request adds is known before it is made. What cannot be followed is "loose": from then on the row is an upper estimate.
#ifndef SHIM_RANGES_H
#define SHIM_RANGES_H

#include <stdbool.h>
#include <stdint.h>

struct bc_page;

// Who owns a record: the process, for all descriptors of the file; or one open file description.
enum range_owner { RANGE_PROCESS = 1, RANGE_DESCRIPTION = 2 };

struct range {
  uint64_t device, inode;
  int64_t start, end; // both included; end INT64_MAX: to the end of the file
  int32_t fd;         // set through
  int16_t type;       // F_RDLCK, F_WRLCK; for a request F_UNLCK too
  int16_t owner;      // enum range_owner; 0: no record
};

// 91 records and what else a member has are one page, which the kernel wipes in a child: locks are not inherited (fcntl(2)).
enum { RANGES = 91, RANGE_TURNS = 16 };
struct ranges {
  int32_t busy;  // a spin lock, held for a few hundred instructions and at most one fstat
  int32_t loose; // what is locked is not known range by range
  int32_t count;
  uint32_t turns[RANGE_TURNS]; // by file: moves on when a request begins, and when it has been done
  // The file of the descriptor that was locked through last, with an owner where that is known. While it is, as while there
  // are records, every close comes by here (BC_RANGES_HELD): locking and unlocking in turns need not ask what file it is.
  struct range last;
  struct range of[RANGES];
};

// A request under way.
struct range_request {
  struct range range;
  uint32_t turn;
  int64_t more; // records that it adds; negative: frees
  bool sure;
};

// What a request will do, if the kernel does it. `range` is filled in but for its file.
struct range_request ranges_begin(struct bc_page *page, struct range range);
// The kernel did it. False: others were at the same file, nothing is sure any more.
bool ranges_done(struct bc_page *page, const struct range_request *r);

// How many records go when this descriptor is closed; they are forgotten. `alone`: no other descriptor has its description.
unsigned ranges_closing(struct bc_page *page, int fd, bool alone);

#endif
