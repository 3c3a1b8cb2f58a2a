// One unwinding: the message's registers and stack, and the memory around them as far as it can be known.
#ifndef CWITNESS_WALK_H
#define CWITNESS_WALK_H

#include "image.h"

enum {
  WALK_READS = 400000, // words in all: a real stack of 128 frames takes a tenth
  WALK_SCRATCH = 4096,
};

#if defined(__x86_64__)
enum { WALK_FP = 6, WALK_SP = 7, WALK_IP = 16, WALK_REGISTERS = 17, WALK_MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { WALK_FP = 29, WALK_SP = 31, WALK_IP = 32, WALK_REGISTERS = 33, WALK_MACHINE = EM_AARCH64 };
#endif

struct walk {
  const struct witness_space *space;
  struct bc_witness message;
  const uint8_t *bytes[BC_WITNESS_SLICES];
  unsigned reads;
  bool trampoline; // the frame returns from a signal: libunwind knows how, also where nothing describes it
  bool unknown;    // nothing describes the code that was last asked about

  // Unwind information put into the one form that libunwind searches, at an address near the code.
  uint64_t scratch_start;
  uint32_t scratch_length;
  uint8_t scratch[WALK_SCRATCH];
};

// Takes a message in; false when it is not one that this machine can have sent.
bool walk_begin(struct walk *w, const struct witness_space *space, const void *message, size_t size);

// The mapping that has an address, or −1.
long walk_mapping(const struct walk *w, uint64_t address);
// Its image and how far it lies from the file's own addresses; null where there is none.
struct witness_image *walk_image(const struct walk *w, uint64_t address, uint64_t *bias);

bool walk_on_stack(const struct walk *w, uint64_t address, size_t length, void *to);
bool walk_read(struct walk *w, uint64_t address, void *to, size_t length);

// Goes one frame out over the frame pointer, in registers[]; false when that does not look like a frame.
bool walk_frame_pointer(struct walk *w, uint64_t *registers);

// Unwind information for an address, as libunwind's find_proc_info has it.
int walk_find(struct walk *w, unw_addr_space_t as, uint64_t address, unw_proc_info_t *found, int need);

#endif
