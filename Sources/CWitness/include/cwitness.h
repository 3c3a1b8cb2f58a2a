// libunwind and libdw, as Swift can call them. Both are loaded at the first use: linked, they would cost every start
// 0.33 ms, and libunwind would stand in for the C++ unwinder of the whole program (it exports _Unwind_*).
//
// Whatever comes from a member (message, ELF files, DWARF) is hostile: every loop has a bound, files are read, never
// mapped (a file that shrinks under a mapping is a SIGBUS), and nothing is opened that Swift did not hand over.
//
// Not thread-safe: one thread at a time for an image, an unwinder, and all that hangs on them.
#ifndef CWITNESS_H
#define CWITNESS_H

#include "../../Wire/include/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Null when libunwind and libdw are there; else what could not be loaded, for people.
const char *witness_missing(void);

// --- the worker: a process of its own, for libdw and libunwind read what members may have forged ------------------

// What it is asked. With a connection: the stack of process `pid`, whose witness comes over it, and its names too when
// `named`. Without: the names of frames of that process, which follow as text.
struct witness_job {
  uint64_t id;
  int32_t pid;
  int32_t named;
};

// Forks. In the parent: its end of a SEQPACKET socket, and `child`; −1 and errno when it could not be. In the child: 0, which is
// its end, and no other descriptor is open; it dies with the thread that forked it.
int witness_worker_start(int32_t *child);
// Waits for the next job; `connection` is −1 where none comes with it, `length` that of the text. False when the server has
// closed.
bool witness_worker_accept(int socket, struct witness_job *job, int *connection, char *text, size_t room, size_t *length);
// While the calling thread works: others come before it again and again (yield.c). Of one thread only.
void witness_yield_often(bool on);

// --- images: one ELF file, or what a process has mapped of a file that is gone -------------------------------------

struct witness_image;

// A piece of a file as it is in the memory of a process, not writable.
struct witness_live_range {
  uint64_t offset, address, length;
};

// Takes the descriptor over, in every case. Null: not an ELF file of this machine, or not a regular file.
struct witness_image *witness_image_open(int fd);
// Reads through process_vm_readv. Null: no ELF header there.
struct witness_image *witness_image_live(int32_t pid, const struct witness_live_range *ranges, size_t count);
void witness_image_close(struct witness_image *image);

// The ELF file's own address of a byte of the file; false when no segment loads it.
bool witness_image_address(const struct witness_image *image, uint64_t offset, uint64_t *address);

// The file that it reads, which stays the image's; −1: none.
int witness_image_descriptor(const struct witness_image *image);

// Bytes of memory that naming with this image may hold.
uint64_t witness_image_cost(const struct witness_image *image);

// Debug information. Separate files are found by Swift and are taken over when they belong to this very build.
bool witness_image_has_debug(struct witness_image *image);
size_t witness_image_build_id(struct witness_image *image, uint8_t *id, size_t room);
const char *witness_image_debug_link(struct witness_image *image, uint32_t *crc);
bool witness_image_add_debug(struct witness_image *image, int fd, bool check_crc);
// What dwz has moved into a file common to several: its build id, 0 when there is none.
size_t witness_image_common_id(struct witness_image *image, uint8_t *id, size_t room);
bool witness_image_add_common(struct witness_image *image, int fd);

// --- names ---------------------------------------------------------------------------------------------------------

struct witness_name {
  const char *function; // as in the file, perhaps mangled; null: unknown. Lives as long as the image
  const char *file;     // null: unknown
  int32_t line;         // 0: unknown
  bool inlined;         // into the next one
};

// Innermost first: inlined functions, then the one that has the address. 0: nothing is known for sure.
size_t witness_image_names(struct witness_image *image, uint64_t address, struct witness_name *names, size_t room);

// A C++ name for people; false when it is none or would be too long.
bool witness_demangle(const char *mangled, char *to, size_t size);

// --- unwinding -----------------------------------------------------------------------------------------------------

struct witness_mapping {
  uint64_t start, end, offset;
  bool executable, writable;
};

// The process that a message came from. Mappings ascend and do not overlap.
struct witness_space {
  int32_t pid;
  const struct witness_mapping *mappings;
  size_t count;
  // The image of a mapping, or null; asked as often as it is needed.
  struct witness_image *(*image)(void *context, size_t mapping);
  void *context;
};

struct witness_place {
  uint64_t address; // in the process, of the instruction that is running: of the call, for a caller
  size_t mapping;
  bool guessed;     // reached over a frame pointer through code that nothing describes
};

struct witness_unwinder;
struct witness_unwinder *witness_unwinder_create(void);
void witness_unwinder_destroy(struct witness_unwinder *unwinder);

// From the frame that captured outwards. How many places were found; 0 also for a message that is not one.
size_t witness_unwind(struct witness_unwinder *unwinder, const struct witness_space *space, const void *message,
                      size_t size, struct witness_place *places, size_t room);

#endif
