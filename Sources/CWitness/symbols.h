#ifndef CWITNESS_SYMBOLS_H
#define CWITNESS_SYMBOLS_H

#include "image.h"

// The function of the symbol tables that has the address within its size; null when none has.
const char *symbols_name(struct witness_image *image, uint64_t address);

#endif
