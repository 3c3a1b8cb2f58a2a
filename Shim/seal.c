#define _GNU_SOURCE
#include "seal.h"

#include "ask.h"
#include "member.h"
#include "raw.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#if defined(__x86_64__)
enum { MACHINE = AUDIT_ARCH_X86_64 };
#elif defined(__aarch64__)
enum { MACHINE = (int)AUDIT_ARCH_AARCH64 };
#endif

enum { FD = 3, DRAIN_TURNS = 100000 };

uint64_t forbidden[8];

// Every call that the shim makes by itself, with the arguments that a filter may look at.
static const struct seccomp_data ours[] = {
    {.nr = SYS_socket, .args = {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0}},
    {.nr = SYS_connect, .args = {FD}},
    {.nr = SYS_sendto, .args = {FD, 0, sizeof(struct bc_request), MSG_NOSIGNAL}},
    {.nr = SYS_sendmsg, .args = {FD, 0, MSG_NOSIGNAL}},
    {.nr = SYS_recvmsg, .args = {FD, 0, MSG_CMSG_CLOEXEC}},
    {.nr = SYS_close, .args = {FD}},
    {.nr = SYS_rt_sigprocmask, .args = {SIG_SETMASK, 0, 0, 8}},
    {.nr = SYS_prlimit64, .args = {0, RLIMIT_DATA}},
    {.nr = SYS_mmap, .args = {0, BC_MEMFD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, FD}},
    {.nr = SYS_madvise, .args = {0, BC_MEMFD_SIZE, MADV_DONTFORK}},
    {.nr = SYS_mmap, .args = {0, BC_MEMFD_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1}},
    {.nr = SYS_mremap, .args = {0, 0, BC_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED}},
    {.nr = SYS_futex, .args = {0, FUTEX_WAIT}},
    {.nr = SYS_futex, .args = {0, FUTEX_WAKE, INT_MAX}},
    {.nr = SYS_madvise, .args = {0, 4096, MADV_WIPEONFORK}},
    {.nr = SYS_fchmod, .args = {FD, BC_QUESTION_MODE}},
    {.nr = SYS_getsockopt, .args = {FD, SOL_SOCKET, SO_DOMAIN}},
    {.nr = SYS_fcntl, .args = {FD, F_GETFL}},
    {.nr = SYS_fcntl, .args = {FD, F_GETFD}},
    {.nr = SYS_lseek, .args = {FD, 0, SEEK_CUR}},
    {.nr = SYS_openat, .args = {(uint64_t)AT_FDCWD, 0, O_RDONLY | O_CLOEXEC}},
    {.nr = SYS_dup3, .args = {FD, FD + 1}},
    {.nr = SYS_gettid}, {.nr = SYS_getpid}, {.nr = SYS_getppid}, {.nr = SYS_nanosleep}, {.nr = SYS_sched_yield},
    {.nr = SYS_ppoll}, {.nr = SYS_fstat}, {.nr = SYS_read, .args = {FD}}, {.nr = SYS_kill}, {.nr = SYS_sigaltstack},
    {.nr = SYS_munmap}, {.nr = SYS_fstatfs, .args = {FD}}, {.nr = SYS_newfstatat}, {.nr = SYS_readlinkat}, {.nr = SYS_faccessat},
#ifdef SYS_poll
    {.nr = SYS_poll},
#endif
};

struct machine {
  uint32_t a, x, m[BPF_MEMWORDS];
};

static uint32_t computed(unsigned code, uint32_t a, uint32_t k) {
  switch (BPF_OP(code)) {
    case BPF_ADD: return a + k;
    case BPF_SUB: return a - k;
    case BPF_MUL: return a * k;
    case BPF_DIV: return k ? a / k : 0;
    case BPF_MOD: return k ? a % k : 0;
    case BPF_OR: return a | k;
    case BPF_AND: return a & k;
    case BPF_XOR: return a ^ k;
    case BPF_LSH: return k < 32 ? a << k : 0;
    case BPF_RSH: return k < 32 ? a >> k : 0;
    default: return -a; // BPF_NEG
  }
}

static bool holds(unsigned code, uint32_t a, uint32_t k) {
  switch (BPF_OP(code)) {
    case BPF_JEQ: return a == k;
    case BPF_JGT: return a > k;
    case BPF_JGE: return a >= k;
    default: return a & k; // BPF_JSET
  }
}

// What the filter answers (the instructions of seccomp(2) and of the kernel's net/core/filter.c, bpf_check_classic). What cannot
// be read or made out counts as a refusal.
static bool allows(const struct sock_fprog *filter, const struct seccomp_data *call) {
  struct machine r = {0};
  for (unsigned at = 0; at < filter->len; at++) { // jumps go forward only
    struct sock_filter i;
    if (!copied(&i, &filter->filter[at], sizeof i)) return false;
    uint32_t with = BPF_SRC(i.code) == BPF_X ? r.x : i.k;
    uint32_t memory = i.k < BPF_MEMWORDS ? r.m[i.k] : 0, word = 0;
    if (i.k <= sizeof *call - sizeof word) memcpy(&word, (const char *)call + i.k, sizeof word);
    switch (BPF_CLASS(i.code)) {
      case BPF_LD:
        r.a = BPF_MODE(i.code) == BPF_ABS ? word : BPF_MODE(i.code) == BPF_MEM ? memory : BPF_MODE(i.code) == BPF_LEN ? sizeof *call : i.k;
        break;
      case BPF_LDX: r.x = BPF_MODE(i.code) == BPF_MEM ? memory : BPF_MODE(i.code) == BPF_LEN ? sizeof *call : i.k; break;
      case BPF_ST: if (i.k < BPF_MEMWORDS) r.m[i.k] = r.a; break;
      case BPF_STX: if (i.k < BPF_MEMWORDS) r.m[i.k] = r.x; break;
      case BPF_ALU: r.a = computed(i.code, r.a, with); break;
      case BPF_JMP: at += BPF_OP(i.code) == BPF_JA ? i.k : holds(i.code, r.a, with) ? i.jt : i.jf; break;
      case BPF_RET: return ((BPF_RVAL(i.code) == BPF_A ? r.a : i.k) & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW;
      default: // BPF_MISC
        if (BPF_MISCOP(i.code) == BPF_TAX) r.x = r.a;
        else r.a = r.x;
    }
  }
  return false;
}

// What a filter refuses, by number as in `forbidden`.
struct refused {
  uint64_t words[8];
  bool any;
};

static struct refused refused_by(const struct sock_fprog *given) {
  struct refused r = {0};
  struct sock_fprog filter;
  if (given && !copied(&filter, given, sizeof filter)) return r; // the kernel will refuse it
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
    struct seccomp_data call = ours[i];
    call.arch = (uint32_t)MACHINE;
    call.instruction_pointer = (uintptr_t)refused_by; // some place in this library
    if (given && allows(&filter, &call)) continue;
    r.words[call.nr >> 6] |= UINT64_C(1) << (call.nr & 63);
    r.any = true;
  }
  return r;
}

static bool refuses(const struct refused *r, unsigned number) { return r->words[number >> 6] >> (number & 63) & 1; }

// Other threads may be in a question, and the filter may be for them too.
static void drain(struct bc_page *page) {
  for (int turn = 0; page && turn < DRAIN_TURNS; turn++) {
    bool asking = false;
    for (int i = 0; i < BC_ASKING; i++) asking |= bc_load32(&page->asking[i]) != 0;
    if (!asking) return;
    RAW(SYS_sched_yield, 0);
  }
}

// As it was before the filter, should the kernel not take it.
static struct {
  uint64_t words[8];
  int32_t muted;
} before;

// The mailbox is left: what the filter forbids is not called from now on.
static bool mute(const struct refused *r) {
  if (refuses(r, SYS_futex) || refuses(r, SYS_rt_sigprocmask) || !member_mute(BC_MUTED_FILTER)) return false;
  for (int i = 0; i < 8; i++) __atomic_fetch_or(&forbidden[i], r->words[i], __ATOMIC_SEQ_CST);
  drain(member.page);
  return true;
}

bool seal_before(const struct sock_fprog *filter) {
  if (standing != STANDING_INSIDE || in_vfork_child) return false;
  struct refused r = refused_by(filter);
  if (!r.any) return false;
  memcpy(before.words, forbidden, sizeof forbidden);
  before.muted = muted;
  if (mute(&r)) return true;
  struct bc_request request = {.kind = BC_SEALED, .parent = (int32_t)RAW(SYS_getppid, 0)};
  struct bc_answer answer;
  ask(&request, &answer, NULL);
  struct bc_page *page = member.page;
  standing = STANDING_SEALED;
  __atomic_store_n(&member.page, NULL, __ATOMIC_SEQ_CST);
  drain(page);
  return true;
}

void seal_undone(void) {
  standing = STANDING_INSIDE; // one that was sealed joins again with its next charge
  memcpy(forbidden, before.words, sizeof forbidden);
  if (muted != before.muted) member_mute((enum bc_muted)before.muted);
}
