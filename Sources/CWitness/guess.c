// Over code that nothing describes: what a JIT made, or assembly. Frame pointers are a convention there, so each step
// is checked against all that a real frame must fulfil; what fails a check ends the stack, for no name is better than
// a wrong one.
#include "walk.h"

#include <elf.h>

// Whether the instruction that ends at `address` is a call. Unreadable (writable JIT memory) is not held against it.
static bool after_call(struct walk *w, uint64_t address) {
#if defined(__x86_64__)
  uint8_t b[7];
  if (!walk_read(w, address - sizeof b, b, sizeof b)) return true;
  const uint8_t *end = b + sizeof b;
  if (end[-5] == 0xe8) return true; // call rel32
  for (int n = 2; n <= 7; n++) {    // call r/m64: FF /2, with SIB and displacement up to 7 bytes
    if (end[-n] == 0xff && (end[-n + 1] & 0x38) == 0x10) return true;
  }
  return false;
#elif defined(__aarch64__)
  uint32_t word;
  if (!walk_read(w, address - 4, &word, sizeof word)) return true;
  // bl, blr and its authenticated forms.
  return (word & 0xfc000000) == 0x94000000 || (word & 0xfffff000) == 0xd63f0000;
#endif
}

bool walk_frame_pointer(struct walk *w, uint64_t *registers) {
  uint64_t fp = registers[WALK_FP], frame[2]; // the caller's frame pointer, the return address
  if (!(w->message.known >> WALK_FP & 1) || fp % sizeof(uint64_t) || fp < registers[WALK_SP]) return false;
  if (!walk_on_stack(w, fp, sizeof frame, frame)) return false;
  long i = walk_mapping(w, frame[1] - 1);
  if (i < 0 || !w->space->mappings[i].executable || !after_call(w, frame[1])) return false;
  registers[WALK_FP] = frame[0];
  registers[WALK_SP] = fp + sizeof frame;
  registers[WALK_IP] = frame[1];
  return true;
}
