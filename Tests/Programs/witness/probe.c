// Stands for the shim: wrappers that send a witness over a socket they were given. rmdir is one, so that interpreters
// reach it without knowing of it.
#define _GNU_SOURCE
#include "../../../Shim/witness.h"
#include "probe.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t forbidden[8]; // of raw.h: this shim's programs forbid themselves nothing

__attribute__((noinline, cold)) static int ask(void) {
  const char *fd = getenv("PROBE_FD");
  struct witness_registers here;
  witness_capture(&here);
  int before = errno;
  witness_send(fd ? atoi(fd) : 3, &here);
  if (errno != before) abort();
  return 0;
}

__attribute__((visibility("default"), noinline)) int probe(void) {
  // Not a tail call: a wrapper has a frame.
  int answer = ask();
  __asm__ volatile("" : "+r"(answer));
  return answer;
}

__attribute__((visibility("default"))) int rmdir(const char *path) {
  if (strcmp(path, "/probe") == 0) return probe();
  int (*next)(const char *) = (int (*)(const char *))dlsym(RTLD_NEXT, "rmdir");
  return next(path);
}
