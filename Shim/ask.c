#define _GNU_SOURCE
#include "ask.h"

#include "mailbox.h"
#include "member.h"
#include "raw.h"
#include "witness.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

enum { KERNEL_SIGSET = 8, RETRIES = 100, RETRY_MS = 10, SETTLE_TURNS = 64, SETTLE_NS = 50000 }; // a lost server is waited for one second
// Where only the mailbox is left, a server that is stopped or being started again cannot be told from one that is lost.
enum { MAIL_MS = 15000, MAIL_LOST_MS = 100 };

void ask_block_signals(sigset_t *before) {
  uint64_t all = ~UINT64_C(0);
  RAW(SYS_rt_sigprocmask, SIG_SETMASK, &all, before, KERNEL_SIGSET);
}

void ask_restore_signals(const sigset_t *before) {
  RAW(SYS_rt_sigprocmask, SIG_SETMASK, before, 0, KERNEL_SIGSET);
}

void ask_text(char *to, size_t size, const char *from) {
  size_t n = 0;
  for (; from && n + 1 < size; n++) {
    bool new_page = n == 0 || ((uintptr_t)(from + n) & 4095) == 0;
    if ((new_page && !readable(from + n)) || !from[n]) break;
    to[n] = from[n];
  }
  to[n] = 0;
}

void ask_about(struct bc_request *request, struct about about) {
  ask_text(request->call, sizeof request->call, about.call);
  if (about.text) {
    ask_text(request->detail, sizeof request->detail, about.text);
  } else {
    memcpy(request->detail, &about.numbers, sizeof about.numbers);
    request->flags |= BC_FLAG_NUMBERS;
  }
}

bool ask_allowed_on_loss(void) {
  struct bc_page *page = member_joined();
  if (page) return page->flags & BC_ANSWER_ALLOW_ON_LOSS;
  const char *policy = getenv("BC_ON_SERVER_LOSS");
  return policy && strcmp(policy, "allow") == 0;
}

static void nap_briefly(long nanoseconds) {
  struct timespec t = {.tv_nsec = nanoseconds};
  RAW(SYS_nanosleep, &t, 0);
}
static void nap(int milliseconds) { nap_briefly(milliseconds * 1000000L); }

// A place in the page where a question is shown while its socket is open, so that a recount does not take it for the program's.
static int32_t *place_to_show(struct bc_page *page) {
  for (int i = 0; page && i < BC_ASKING; i++)
    if (bc_cas32(&page->asking[i], 0, BC_ASKING_MOVES)) return &page->asking[i];
  return NULL;
}

static void show(int32_t *place, int32_t what) {
  if (place) __atomic_store_n(place, what, __ATOMIC_SEQ_CST);
}

static void put_away(long socket, int32_t *shown) {
  show(shown, BC_ASKING_MOVES);
  RAW(SYS_close, socket);
  show(shown, 0);
}

// A recount knows the socket by its mode, also that of a server which has just been started and has no pages yet, and where
// a child that another thread forks meanwhile has inherited it. The child looks for it under the numbers noted here.
static uint64_t numbers[BC_QUESTION_FDS / 64];

// The number first: a fork copies descriptors before memory, and the mode is one that parent and child see.
static void mark(long socket) {
  if (!__libc_single_threaded && socket < BC_QUESTION_FDS)
    __atomic_fetch_or(&numbers[socket / 64], UINT64_C(1) << socket % 64, __ATOMIC_SEQ_CST);
  RAW(SYS_fchmod, socket, BC_QUESTION_MODE);
}

// One that has no mark yet would not be found. It takes a microsecond, or as long as its thread gets no processor.
void ask_before_fork(struct bc_page *page) {
  if (__libc_single_threaded) return;
  for (int turn = 0; turn < SETTLE_TURNS && bc_page_question_moves(page); turn++)
    if (turn < SETTLE_TURNS / 2) RAW(SYS_sched_yield, 0);
    else nap_briefly(SETTLE_NS);
}

// Whether a descriptor is a question's socket. One of that kind without the mark may be about to have it.
static bool is_question(int fd) {
  struct stat info;
  for (int turn = 0; RAW(SYS_fstat, fd, &info) == 0 && S_ISSOCK(info.st_mode) && turn < SETTLE_TURNS; turn++) {
    if ((info.st_mode & ~S_IFMT) == BC_QUESTION_MODE) return true;
    int domain = 0, type = 0;
    socklen_t size = sizeof domain;
    RAW(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    RAW(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size);
    if (domain != AF_UNIX || type != SOCK_SEQPACKET) return false;
    RAW(SYS_sched_yield, 0);
  }
  return false;
}

void ask_in_child(void) {
  for (int i = 0; i < BC_QUESTION_FDS / 64; i++) {
    for (uint64_t left = numbers[i]; left; left &= left - 1) {
      int fd = i * 64 + __builtin_ctzll(left);
      if (is_question(fd)) RAW(SYS_close, fd);
    }
  }
}

// An image that comes to run with no number free has no page yet, nor a mailbox: it is sent one by a socket that is taken
// beyond the program's own soft limit, which is raised for as long as one system call takes.
static bool raise_limit(struct rlimit *own) {
  if (RAW(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, own) < 0 || own->rlim_cur >= own->rlim_max) return false;
  struct rlimit more = {.rlim_cur = own->rlim_max, .rlim_max = own->rlim_max};
  return RAW(SYS_prlimit64, 0, RLIMIT_NOFILE, &more, 0) == 0;
}

static void lower_limit(const struct rlimit *own) { RAW(SYS_prlimit64, 0, RLIMIT_NOFILE, own, 0); }

static long socket_beyond_limit(void) {
  struct rlimit own;
  if (!raise_limit(&own)) return -EMFILE;
  long fd = RAW(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  lower_limit(&own);
  return fd;
}

// Connected, or −errno. The path first; then the same name as an abstract one, which a chroot does not hide.
static long connect_once(int32_t **shown, bool beyond) {
  *shown = place_to_show(member_joined());
  long fd = RAW(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd == -EMFILE && beyond) fd = socket_beyond_limit();
  if (fd >= 0) mark(fd);
  show(*shown, fd < 0 ? 0 : (int32_t)fd + 1);
  if (fd < 0) return fd;
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  size_t n = strlen(server_path);
  memcpy(to.sun_path, server_path, n + 1);
  long error = RAW(SYS_connect, fd, &to, offsetof(struct sockaddr_un, sun_path) + n + 1);
  if (error < 0 && error != -EAGAIN) {
    to.sun_path[0] = 0;
    memcpy(to.sun_path + 1, server_path + 1, n);
    error = RAW(SYS_connect, fd, &to, offsetof(struct sockaddr_un, sun_path) + n);
  }
  if (error < 0) {
    put_away(fd, *shown);
    return error;
  }
  return fd;
}

// The server may not set the limits of a process of another user: then its answer says what to set.
static void set_lease(uint64_t bytes) {
  struct rlimit now;
  if (RAW(SYS_prlimit64, 0, RLIMIT_DATA, 0, &now) < 0) return;
  now.rlim_cur = bytes < now.rlim_max ? bytes : now.rlim_max;
  RAW(SYS_prlimit64, 0, RLIMIT_DATA, &now, 0);
}

static bool receive(long socket, struct bc_answer *answer, int *fd, bool beyond) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {answer, sizeof *answer};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct rlimit own;
  struct pollfd came = {.fd = (int)socket, .events = POLLIN};
  bool raised = beyond && RAW(SYS_ppoll, &came, 1, 0, 0, KERNEL_SIGSET) == 1 && raise_limit(&own);
  long n = RAW(SYS_recvmsg, socket, &message, MSG_CMSG_CLOEXEC);
  if (raised) lower_limit(&own);
  if (fd && n > 0 && message.msg_flags & MSG_CTRUNC && !beyond) return false; // no number for it: once more
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  if (n > 0 && c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
    int got;
    memcpy(&got, CMSG_DATA(c), sizeof got);
    if (fd) *fd = got;
    else RAW(SYS_close, got);
  }
  return n == (long)sizeof *answer && answer->magic == BC_WIRE_MAGIC;
}

// Who asks, for the record of denials and holders. The frame that is captured lives until the witness has been sent.
__attribute__((noinline, cold)) static void bear_witness(long socket) {
  if (under_valgrind()) return; // a slice of a stack is full of what nobody has written
  struct witness_registers here;
  witness_capture(&here);
  witness_send(socket, &here);
  __asm__ volatile("" : : "r"(&here) : "memory"); // no tail call
}

static enum ask_result ask_once(struct bc_request *request, struct bc_answer *answer, int *fd);

__attribute__((noinline, cold)) enum ask_result ask(struct bc_request *request, struct bc_answer *answer, int *fd) {
  enum ask_result result;
  while ((result = ask_once(request, answer, fd)) == ASK_ANSWERED && answer && answer->flags & BC_ANSWER_LATER) {
    request->again++;
    nap((int)bc_nap(request->kind, request->again));
  }
  return result;
}

// Whether the call itself needs a number, so that the kernel will refuse it too.
static bool takes_number(const struct bc_request *r) {
  static const uint32_t rows = 1u << BC_NUMFILE | 1u << BC_NUMTCPSOCK | 1u << BC_NUMOTHERSOCK | 1u << BC_NUMPTY | 1u << BC_NUMINOTIFY;
  return (r->kind == BC_CHARGE || r->kind == BC_VERIFY) && rows >> r->resource & 1;
}

static void sign(struct bc_request *request) {
  long thread = RAW(SYS_gettid, 0);
  request->magic = BC_WIRE_MAGIC;
  memcpy(request->token, member_token, sizeof member_token);
  request->thread = thread > 0 ? (int32_t)thread : 0;
}

static enum ask_result mailed(struct bc_page *page, struct bc_request *request, struct bc_answer *answer, int milliseconds) {
  struct bc_answer unheard;
  request->socket = -1;
  enum ask_result result = mailbox_ask(page, request, answer ? answer : &unheard, milliseconds);
  if (result == ASK_ANSWERED && answer && answer->granted > 0) set_lease((uint64_t)answer->granted);
  return result;
}

static int mail_patience(void) { return member.lost ? MAIL_LOST_MS : MAIL_MS; }

__attribute__((noinline, cold)) enum ask_result ask_by_mail(struct bc_page *page, struct bc_request *request, struct bc_answer *answer) {
  sign(request);
  enum ask_result result = mailed(page, request, answer, mail_patience());
  member.lost = result == ASK_LOST;
  return result;
}

// Over a socket that is connected. A server that dies between that and its answer is asked again: ASK_LOST.
static enum ask_result said(long socket, int32_t *shown, struct bc_request *request, struct bc_answer *answer, int *fd, bool beyond) {
  enum ask_result result = ASK_LOST;
  request->socket = (int32_t)socket;
  long sent = RAW(SYS_sendto, socket, request, sizeof *request, MSG_NOSIGNAL, 0, 0);
  if (sent == (long)sizeof *request && (!answer || receive(socket, answer, fd, beyond))) result = ASK_ANSWERED;
  if (result == ASK_ANSWERED && answer && answer->granted > 0) set_lease((uint64_t)answer->granted);
  if (result == ASK_ANSWERED && answer && answer->flags & BC_ANSWER_WITNESS) bear_witness(socket);
  put_away(socket, shown);
  return result;
}

// The socket cannot be had, for that reason. The mailbox is tried instead, and is what is waited at for a server that is
// being started again. *last: another try would find the same.
static enum ask_result unconnected(long why, struct bc_request *request, struct bc_answer *answer, bool *last) {
  struct bc_page *page = member_joined();
  bool no_number = why == -EMFILE || why == -ENFILE;
  *last = member.lost || no_number || muted;
  if (no_number && (takes_number(request) || !page)) return ASK_NO_DESCRIPTOR;
  if (page && (no_number || muted)) return mailed(page, request, answer, mail_patience());
  if (*last) return ASK_LOST;
  if (!page) return nap(RETRY_MS), ASK_LOST;
  enum ask_result result = mailed(page, request, answer, RETRY_MS);
  if (result == ASK_ANSWERED) member_mute(BC_MUTED_FAR); // it is there, out of reach
  return result;
}

static enum ask_result ask_once(struct bc_request *request, struct bc_answer *answer, int *fd) {
  int saved = errno;
  sigset_t mask;
  ask_block_signals(&mask);
  sign(request);
  enum ask_result result = ASK_LOST;
  bool broken = false, last = false; // broken: a server has died over it
  for (int turn = 0; turn < RETRIES && result == ASK_LOST && !last;) {
    int32_t *shown = NULL;
    long socket = connect_once(&shown, !member_joined() && !takes_number(request));
    if (socket >= 0) {
      if (muted == BC_MUTED_FAR) member_mute(BC_MUTED_NOT);
      if (broken) nap(RETRY_MS);
      result = said(socket, shown, request, answer, fd, fd && broken);
      broken = result == ASK_LOST;
      turn++;
    } else if (socket == -EAGAIN) {
      nap(RETRY_MS); // its backlog is full: it is there, and at work or stopped
    } else {
      result = unconnected(socket, request, answer, &last);
      turn++;
    }
  }
  if (!in_vfork_child) member.lost = result == ASK_LOST;
  ask_restore_signals(&mask);
  errno = saved;
  return result;
}

__attribute__((cold)) void ask_from_elsewhere(void) {
  int32_t *shown = NULL;
  long socket = connect_once(&shown, false);
  if (socket >= 0) put_away(socket, shown);
  if (muted == BC_MUTED_FILTER || socket == -EMFILE || socket == -ENFILE || socket == -EAGAIN) return;
  member_mute(socket < 0 ? BC_MUTED_FAR : member_sees_library() ? BC_MUTED_NOT : BC_MUTED_UNSEEN);
}

void tell(struct bc_request *request) {
  request->flags |= BC_FLAG_ONE_WAY;
  ask(request, NULL, NULL);
}
