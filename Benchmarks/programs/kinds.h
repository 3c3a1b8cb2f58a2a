// The operations that micro repeats.
#ifndef KINDS_H
#define KINDS_H

struct kind {
  const char *name;
  void (*prepare)(void);              // once
  void (*repeat)(long n, long size); // n operations; size is what follows the colon
  long least;                        // operations of a batch, where a few are nothing but a wait for another thread
};

const struct kind *kind_named(const char *name); // null when there is none

#endif
