#define _GNU_SOURCE
#include "walk.h"

#include <elf.h>
#include <string.h>
#include <sys/uio.h>

bool walk_begin(struct walk *w, const struct witness_space *space, const void *message, size_t size) {
  memset(w, 0, offsetof(struct walk, scratch));
  w->space = space;
  if (size < sizeof w->message) return false;
  memcpy(&w->message, message, sizeof w->message);
  if (w->message.magic != BC_WITNESS_MAGIC || w->message.version != BC_WITNESS_VERSION ||
      w->message.machine != WALK_MACHINE)
    return false;
  const uint8_t *at = (const uint8_t *)message + sizeof w->message;
  size_t left = size - sizeof w->message;
  for (int i = 0; i < BC_WITNESS_SLICES; i++) {
    struct bc_witness_slice *s = &w->message.slices[i];
    if (s->length > BC_WITNESS_SLICE_MOST || s->length > left || s->start + s->length < s->start) return false;
    w->bytes[i] = at;
    at += s->length, left -= s->length;
  }
  return left == 0;
}

long walk_mapping(const struct walk *w, uint64_t address) {
  size_t low = 0, high = w->space->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (w->space->mappings[middle].end <= address) low = middle + 1;
    else high = middle;
  }
  return low < w->space->count && w->space->mappings[low].start <= address ? (long)low : -1;
}

struct witness_image *walk_image(const struct walk *w, uint64_t address, uint64_t *bias) {
  long i = walk_mapping(w, address);
  struct witness_image *image = i < 0 ? NULL : w->space->image(w->space->context, (size_t)i);
  if (!image) return NULL;
  const struct witness_mapping *m = &w->space->mappings[i];
  uint64_t own;
  if (!witness_image_address(image, m->offset + (address - m->start), &own)) return NULL;
  *bias = address - own;
  return image;
}

bool walk_on_stack(const struct walk *w, uint64_t address, size_t length, void *to) {
  for (int i = 0; i < BC_WITNESS_SLICES; i++) {
    const struct bc_witness_slice *s = &w->message.slices[i];
    if (address < s->start || address - s->start > s->length || length > s->length - (address - s->start)) continue;
    memcpy(to, w->bytes[i] + (address - s->start), length);
    return true;
  }
  return false;
}

// The stack as it was sent; else the file. Of the process itself only what cannot have changed since: it may have gone
// on. The file answers for writable mappings too, where it holds the initial value: unwind information refers to a
// pointer there (the personality routine), which libunwind reads and we do not use.
bool walk_read(struct walk *w, uint64_t address, void *to, size_t length) {
  if (w->reads++ >= WALK_READS) return false;
  if (address - w->scratch_start < w->scratch_length && length <= w->scratch_length - (address - w->scratch_start)) {
    memcpy(to, w->scratch + (address - w->scratch_start), length);
    return true;
  }
  if (walk_on_stack(w, address, length, to)) return true;
  long i = walk_mapping(w, address);
  if (i < 0) return false;
  const struct witness_mapping *m = &w->space->mappings[i];
  if (length > m->end - address) return false;
  struct witness_image *image = w->space->image(w->space->context, (size_t)i);
  if (image) return image_read(image, m->offset + (address - m->start), to, length);
  if (m->writable) return false;
  struct iovec here = {to, length}, there = {(void *)address, length};
  return process_vm_readv(w->space->pid, &here, 1, &there, 1, 0) == (ssize_t)length;
}
