// setsockopt(2) of SO_SNDBUF and SO_RCVBUF, and what a new socket needs (buffers.h).
#define _GNU_SOURCE
#include "buffers.h"

#include "ask.h"
#include "next.h"
#include "raw.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

// SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF (include/net/sock.h, x86-64): setsockopt(2) makes no buffer smaller.
enum { LEAST_SEND = 4608, LEAST_RECEIVE = 2304 };

enum { NO_ROW = BC_RESOURCES };

struct rows {
  unsigned send, receive;
};

// As 2.6.18 kernel/ub/ub_net.c has them. What a UNIX socket receives is its sender's.
static struct rows rows_of(int domain, int type) {
  if ((domain == AF_INET || domain == AF_INET6) && (type & 0xf) == SOCK_STREAM) return (struct rows){BC_TCPSNDBUF, BC_TCPRCVBUF};
  if (domain == AF_UNIX) return (struct rows){BC_OTHERSOCKBUF, NO_ROW};
  if (domain == AF_NETLINK) return (struct rows){BC_OTHERSOCKBUF, BC_OTHERSOCKBUF};
  return (struct rows){BC_OTHERSOCKBUF, BC_DGRAMRCVBUF};
}

static int ask_for(unsigned row, int64_t bytes, int64_t used, unsigned flags, int refusal, const char *call) {
  if (row == NO_ROW) return 0;
  struct bc_request request = {
      .kind = BC_BUFFER, .resource = (uint8_t)row, .amount = bytes, .want = used, .flags = (uint16_t)flags, .child = refusal};
  struct bc_answer answer;
  ask_text(request.call, sizeof request.call, call);
  switch (ask(&request, &answer, NULL)) {
    case ASK_ANSWERED: return answer.error;
    case ASK_LOST: return ask_allowed_on_loss() ? 0 : refusal;
    case ASK_NO_DESCRIPTOR: break; // none for a new socket either; an old one keeps its kernel's answer
  }
  return 0;
}

__attribute__((noinline, cold)) int buffers_ask_for_new(int domain, int type, int refusal, const char *call) {
  struct rows rows = rows_of(domain, type);
  int error = ask_for(rows.send, LEAST_SEND, 0, 0, refusal, call);
  return error ? error : ask_for(rows.receive, LEAST_RECEIVE, 0, 0, refusal, call);
}

static int option(int fd, int name) {
  int value = 0;
  socklen_t n = sizeof value;
  return RAW(SYS_getsockopt, fd, SOL_SOCKET, name, &value, &n) < 0 ? -1 : value;
}

// What the socket has in the buffer now (SK_MEMINFO of sock_diag(7)).
static int64_t used_by(int fd, unsigned row, bool send) {
  uint32_t figures[SK_MEMINFO_VARS] = {0};
  socklen_t n = sizeof figures;
  RAW(SYS_getsockopt, fd, SOL_SOCKET, SO_MEMINFO, figures, &n);
  return figures[!send ? SK_MEMINFO_RMEM_ALLOC : row == BC_TCPSNDBUF ? SK_MEMINFO_WMEM_QUEUED : SK_MEMINFO_WMEM_ALLOC];
}

// The kernel doubles what is asked for (net/core/sock.c sk_setsockopt); its most is the server's to know. A buffer that does not
// grow is nobody's concern.
__attribute__((noinline)) static int resized(int fd, int name, const void *value, socklen_t n) {
  bool send = name == SO_SNDBUF || name == SO_SNDBUFFORCE, forced = name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE;
  int wish, domain = option(fd, SO_DOMAIN), type = option(fd, SO_TYPE);
  if (domain < 0 || n < sizeof wish || !copied(&wish, value, sizeof wish)) return 0; // the kernel will say what is wrong
  int64_t bytes = 2 * (wish >= 0 ? (int64_t)wish : forced ? 0 : INT32_MAX / 2);
  if (bytes <= option(fd, send ? SO_SNDBUF : SO_RCVBUF)) return 0;
  struct rows rows = rows_of(domain, type);
  unsigned row = send ? rows.send : rows.receive;
  int refusal = domain == AF_UNIX || domain == AF_NETLINK ? ENOMEM : ENOBUFS;
  return ask_for(row, bytes, row == NO_ROW ? 0 : used_by(fd, row, send), forced ? BC_FLAG_FORCED : 0, refusal, "setsockopt");
}

static inline bool resizes(int level, int name) {
  return level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF || name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE);
}

SAME_PROTOTYPE(setsockopt, int, (int, int, int, const void *, socklen_t));
EXPORT(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t n)) {
  struct bc_page *page = unlikely(resizes(level, name)) ? member_page() : NULL;
  int error = page && buffers_bounded(page) ? resized(fd, name, value, n) : 0;
  if (unlikely(error)) return errno = error, -1;
  return NEXT(setsockopt)(fd, level, name, value, n);
}
