// Registers and a slice of stack of whoever asks, for the server to unwind: nothing is unwound inside the program.
// The message is in wire.h.
#ifndef SHIM_WITNESS_H
#define SHIM_WITNESS_H

#include "wire.h"

// What an unwinder needs to start: where it is, where its stack is, and the registers that calls preserve.
// The others are gone by the time anyone asks, and unknown is better than wrong.
struct witness_registers {
  uint64_t by_number[BC_WITNESS_REGISTERS];
  uint64_t known;
};

// Inline, so that the frame that it describes lives as long as its caller's.
static inline __attribute__((always_inline)) void witness_capture(struct witness_registers *r) {
#if defined(__x86_64__)
  r->known = 1u << 3 | 1u << 6 | 1u << 7 | 0xfu << 12 | 1u << 16;
  __asm__ volatile(
      "movq %%rbx, 3*8(%0)\n\tmovq %%rbp, 6*8(%0)\n\tmovq %%rsp, 7*8(%0)\n\t"
      "movq %%r12, 12*8(%0)\n\tmovq %%r13, 13*8(%0)\n\tmovq %%r14, 14*8(%0)\n\tmovq %%r15, 15*8(%0)\n\t"
      "leaq 0f(%%rip), %%rax\n0:\n\tmovq %%rax, 16*8(%0)"
      : : "r"(r->by_number) : "rax", "memory");
#elif defined(__aarch64__)
  r->known = 0x7ffull << 19 | 3ull << 30 | 1ull << 32;
  register uint64_t *to __asm__("x9") = r->by_number;
  __asm__ volatile(
      "stp x19, x20, [%0, 19*8]\n\tstp x21, x22, [%0, 21*8]\n\tstp x23, x24, [%0, 23*8]\n\t"
      "stp x25, x26, [%0, 25*8]\n\tstp x27, x28, [%0, 27*8]\n\tstp x29, x30, [%0, 29*8]\n\t"
      "mov x10, sp\n\tstr x10, [%0, 31*8]\n\tadr x10, 0f\n0:\n\tstr x10, [%0, 32*8]"
      : : "r"(to) : "x10", "memory");
#else
#error "no table of registers for this machine yet: add witness_capture"
#endif
}

// Sends them with the stack above, over a connected SEQPACKET socket, then waits, one second at most, until the other
// side answers anything or closes: it must have read /proc/PID/maps before this process can go on and end.
// Keeps errno, uses raw system calls and under 2 KiB of stack, works in a signal handler and on any stack. What cannot
// be sent is not sent: a witness never fails a charge. `registers` are of a frame that is still live.
void witness_send(long socket, const struct witness_registers *registers);

#endif
