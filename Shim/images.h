// Images about to be run: whether one of them is known, so that nothing need be asked for it. A key stands for a file as
// it is now, and is known once a program started from it was loaded within BC_HEAD_ROOM, by the shim's own word.
#ifndef SHIM_IMAGES_H
#define SHIM_IMAGES_H

#include "wire.h"

#include <stdbool.h>

// As the call that starts it names it.
struct image {
  const char *path;
  char *const *env;
  bool searched;     // along PATH, where its name has no slash
  const char *shown; // for people, where the path would not tell them
};

// 0 where it cannot be told: the name is relative, or the environment says what libraries to load.
uint64_t image_key(const struct image *image);

bool image_known(uint64_t key);

// Takes over what the page knows: a child has no page, and looks here.
void images_learn(struct bc_page *page);

#endif
