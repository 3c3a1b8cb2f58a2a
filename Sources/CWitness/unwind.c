// A stack from its slice, outwards.
#include "walk.h"

#include <stdlib.h>

struct witness_unwinder {
  unw_addr_space_t as;
};

static int find_proc_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *found, int need, void *context) {
  struct walk *w = context;
  int error = walk_find(w, as, ip, found, need);
  w->unknown = error == -UNW_ENOINFO;
  // After -UNW_ENOINFO libunwind would guess by itself, and less carefully than we do.
  return w->unknown && !w->trampoline ? -UNW_EUNSPEC : error;
}

static void put_unwind_info(unw_addr_space_t as, unw_proc_info_t *found, void *context) {
  (void)as, (void)found, (void)context;
}

static int no_dynamic_info(unw_addr_space_t as, unw_word_t *list, void *context) {
  (void)as, (void)list, (void)context;
  return -UNW_ENOINFO;
}

static int access_mem(unw_addr_space_t as, unw_word_t address, unw_word_t *value, int write, void *context) {
  (void)as;
  if (write) return -UNW_EINVAL;
  return walk_read(context, address, value, sizeof *value) ? 0 : -UNW_EINVAL;
}

static int access_reg(unw_addr_space_t as, unw_regnum_t number, unw_word_t *value, int write, void *context) {
  (void)as;
  struct walk *w = context;
  if (write) return -UNW_EREADONLYREG;
  if (number < 0 || number >= WALK_REGISTERS || !(w->message.known >> number & 1)) return -UNW_EBADREG;
  *value = w->message.registers[number];
  return 0;
}

static int no_fpreg(unw_addr_space_t as, unw_regnum_t number, unw_fpreg_t *value, int write, void *context) {
  (void)as, (void)number, (void)value, (void)write, (void)context;
  return -UNW_EBADREG;
}

static int no_resume(unw_addr_space_t as, unw_cursor_t *cursor, void *context) {
  (void)as, (void)cursor, (void)context;
  return -UNW_EINVAL;
}

static int no_name(unw_addr_space_t as, unw_word_t ip, char *to, size_t size, unw_word_t *offset, void *context) {
  (void)as, (void)ip, (void)to, (void)size, (void)offset, (void)context;
  return -UNW_ENOINFO;
}

struct witness_unwinder *witness_unwinder_create(void) {
  static unw_accessors_t accessors = {
      .find_proc_info = find_proc_info,
      .put_unwind_info = put_unwind_info,
      .get_dyn_info_list_addr = no_dynamic_info,
      .access_mem = access_mem,
      .access_reg = access_reg,
      .access_fpreg = no_fpreg,
      .resume = no_resume,
      .get_proc_name = no_name,
  };
  struct witness_unwinder *u = witness_missing() ? NULL : calloc(1, sizeof *u);
  if (u) u->as = unwind.create_addr_space(&accessors, 0);
  if (u && !u->as) free(u), u = NULL;
  // libunwind's cache knows addresses, not processes: what is true of one is not of the next.
  if (u) unwind.set_caching_policy(u->as, UNW_CACHE_NONE);
  return u;
}

void witness_unwinder_destroy(struct witness_unwinder *u) {
  if (u) unwind.destroy_addr_space(u->as);
  free(u);
}

// Where the frame's code is, in the end; `exact` where the address is of the instruction itself, not of the one that a
// call returns to.
static bool here(const struct walk *w, uint64_t ip, bool exact, struct witness_place *place) {
  place->address = exact ? ip : ip - 1;
  long i = walk_mapping(w, place->address);
  if (i < 0 || !w->space->mappings[i].executable) return false;
  place->mapping = (size_t)i;
  return true;
}

// From the registers of w outwards, as far as unwind information goes. True when it ended in code that has none: then
// the registers are those of that frame.
static bool described(struct walk *w, unw_addr_space_t as, struct witness_place *places, size_t room, size_t *n,
                      bool exact, bool guessed) {
  unw_cursor_t cursor;
  if (unwind.init_remote(&cursor, as, w) < 0) return false;
  for (;;) {
    unw_word_t ip, sp, fp, next;
    if (unwind.get_reg(&cursor, UNW_REG_IP, &ip) < 0 || unwind.get_reg(&cursor, UNW_REG_SP, &sp) < 0) return false;
    bool has_fp = unwind.get_reg(&cursor, WALK_FP, &fp) >= 0;
    // A guessed address has been lowered by one already, so that libunwind looks up the call.
    if (*n >= room || !here(w, ip, exact || guessed, &places[*n])) return false;
    places[(*n)++].guessed = guessed;
    w->trampoline = unwind.is_signal_frame(&cursor) > 0;
    w->unknown = false;
    int step = unwind.step(&cursor);
    if (step < 0 && w->unknown) {
      w->message.registers[WALK_IP] = ip, w->message.registers[WALK_SP] = sp, w->message.registers[WALK_FP] = fp;
      // Of the others nobody knows what that code did with them.
      w->message.known = 1ull << WALK_IP | 1ull << WALK_SP | (uint64_t)has_fp << WALK_FP;
      return true;
    }
    if (step <= 0 || unwind.get_reg(&cursor, UNW_REG_SP, &next) < 0) return false;
    uint8_t byte;
    // Stacks grow downwards, so that callers lie above; only a signal may have changed stacks.
    if (next <= sp && !(w->trampoline && walk_on_stack(w, next, 1, &byte))) return false;
    exact = w->trampoline, guessed = false;
  }
}

size_t witness_unwind(struct witness_unwinder *u, const struct witness_space *space, const void *message, size_t size,
                      struct witness_place *places, size_t room) {
  struct walk w;
  size_t n = 0;
  if (!walk_begin(&w, space, message, size)) return 0;
  bool guessed = false;
  while (described(&w, u->as, places, room, &n, !guessed, guessed)) {
    if (!walk_frame_pointer(&w, w.message.registers)) break;
    w.message.registers[WALK_IP] -= 1;
    guessed = true;
  }
  return n;
}
