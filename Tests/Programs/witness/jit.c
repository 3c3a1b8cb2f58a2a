// Code that nothing describes, between functions that are described: what a JIT makes. "frames": with frame pointers;
// "none": without, and the frame pointer register used for something else.
#define _GNU_SOURCE
#include "probe.h"

#include <string.h>
#include <sys/mman.h>

int sink;

__attribute__((noinline)) int called_by_jit(void) {
  int got = probe();
  sink += got;
  return sink;
}

int main(int argc, char **argv) {
  // push rbp; mov rbp, rsp; sub rsp, 32; call rdi; leave; ret
  static const unsigned char frames[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x20, 0xff, 0xd7, 0xc9, 0xc3};
  // push rbp; mov rbp, rdi; sub rsp, 32; call rdi; add rsp, 32; pop rbp; ret
  static const unsigned char none[] = {0x55, 0x48, 0x89, 0xfd, 0x48, 0x83, 0xec, 0x20,
                                       0xff, 0xd7, 0x48, 0x83, 0xc4, 0x20, 0x5d, 0xc3};
  unsigned char *code = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int described = argc > 1 && strcmp(argv[1], "frames") == 0;
  memcpy(code, described ? frames : none, described ? sizeof frames : sizeof none);
  mprotect(code, 4096, PROT_READ | PROT_EXEC);
  int got = ((int (*)(int (*)(void)))code)(called_by_jit);
  sink += got;
  return sink == 12345678;
}
