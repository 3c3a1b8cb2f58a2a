#define _GNU_SOURCE
#include "witness.h"

#include "raw.h"

#include <elf.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>

enum { KERNEL_SIGSET = 8, NO_SUCH_HOW = -1, PAGE = 4096, PATIENCE_S = 1 };

#if defined(__x86_64__)
enum { MACHINE = EM_X86_64, STACK_POINTER = 7 };
static uint64_t interrupted_stack(const ucontext_t *c) { return (uint64_t)c->uc_mcontext.gregs[REG_RSP]; }
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64, STACK_POINTER = 31 };
static uint64_t interrupted_stack(const ucontext_t *c) { return c->uc_mcontext.sp; }
#endif

// How much from `start` can be read, at most `most`. Page by page upwards (a tenth of a microsecond each), because
// guard pages and gaps end a stack and nothing in the process says where without a file being read. 4 KiB steps are
// right for any larger page too.
static uint32_t readable_length(uint64_t start, uint64_t most) {
  uint64_t end = start + most;
  if (end < start) return 0;
  uint64_t at = start & ~(uint64_t)7;
  while (at < end && readable((const void *)at)) at = (at | (PAGE - 1)) + 1;
  return at <= start ? 0 : (uint32_t)((at < end ? at : end) - start);
}

// The stack of a thread that libc made ends below the thread's own block, to which the thread pointer points (glibc
// nptl/allocatestack.c); what else has been mapped above it is not stack.
static uint64_t stack_most(uint64_t sp, uint64_t most) {
  uint64_t block = (uint64_t)__builtin_thread_pointer();
  return block > sp && block - sp < most ? block - sp : most;
}

// On a signal stack: its end, and the stack pointer of what the signal interrupted. The kernel's frame at the top of it
// holds a ucontext, which names this very stack in uc_stack: that is how it is found. 0 where there is none.
static uint64_t signal_stack(uint64_t sp, uint64_t *interrupted) {
  stack_t s;
  *interrupted = 0;
  if (RAW(SYS_sigaltstack, 0, &s) < 0 || s.ss_flags & SS_DISABLE) return 0;
  uint64_t bottom = (uint64_t)s.ss_sp, top = bottom + s.ss_size;
  if (sp < bottom || sp >= top) return 0;
  uint64_t last = sp + readable_length(sp, top - sp < BC_WITNESS_SLICE_MOST ? top - sp : BC_WITNESS_SLICE_MOST);
  for (uint64_t at = (sp + 15) & ~(uint64_t)7; at + sizeof(ucontext_t) <= last; at += 8) {
    const ucontext_t *c = (const ucontext_t *)(at - offsetof(ucontext_t, uc_stack));
    if (c->uc_stack.ss_sp == s.ss_sp && c->uc_stack.ss_size == s.ss_size) *interrupted = interrupted_stack(c);
  }
  return top;
}

static void await(long socket) {
  struct pollfd one = {.fd = (int)socket, .events = POLLIN};
  struct timespec patience = {.tv_sec = PATIENCE_S};
  RAW(SYS_ppoll, &one, 1, &patience, 0, KERNEL_SIGSET);
}

__attribute__((noinline, cold)) void witness_send(long socket, const struct witness_registers *registers) {
  uint64_t sp = registers->by_number[STACK_POINTER], interrupted;
  uint64_t top = signal_stack(sp, &interrupted);
  struct bc_witness w = {
      .magic = BC_WITNESS_MAGIC,
      .version = BC_WITNESS_VERSION,
      .machine = MACHINE,
      .known = registers->known,
      .stack_pointer = sp,
  };
  for (int i = 0; i < BC_WITNESS_REGISTERS; i++)
    w.registers[i] = registers->known >> i & 1 ? registers->by_number[i] : 0;
  // Another thread may unmap what has just been readable (EFAULT), and a system may have small buffers (EMSGSIZE,
  // ENOBUFS, against 208 KiB by default): then less is tried.
  for (uint64_t most = BC_WITNESS_SLICE_MOST; most >= BC_WITNESS_SLICE_LEAST / 4; most /= 2) {
    uint64_t second = stack_most(interrupted, most);
    w.slices[0].start = sp;
    w.slices[0].length = readable_length(sp, top && top - sp < most ? top - sp : stack_most(sp, most));
    w.slices[1].start = interrupted;
    if (second > most - w.slices[0].length) second = most - w.slices[0].length;
    w.slices[1].length = interrupted ? readable_length(interrupted, second) : 0;
    struct iovec parts[] = {
        {&w, sizeof w},
        {(void *)w.slices[0].start, w.slices[0].length},
        {(void *)w.slices[1].start, w.slices[1].length},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    long sent = RAW(SYS_sendmsg, socket, &message, MSG_NOSIGNAL);
    if (sent >= 0) return await(socket);
    if (sent != -EFAULT && sent != -EMSGSIZE && sent != -ENOBUFS) return;
  }
}
