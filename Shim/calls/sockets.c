// Sockets: each is a socket of its kind and a file.
#define _GNU_SOURCE
#include "buffers.h"
#include "leave.h"
#include "next.h"
#include "owned.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

static unsigned what_is(int domain, int type) {
  bool inet = domain == AF_INET || domain == AF_INET6;
  return inet && (type & 0xf) == SOCK_STREAM ? BC_OWNED_TCP : BC_OWNED_OTHER;
}

// The errno of the kernels: inet_create and packet_create ENOBUFS, unix_create and netlink_create ENOMEM.
static int refusal_of(int domain) { return domain == AF_UNIX || domain == AF_NETLINK ? ENOMEM : ENOBUFS; }

SAME_PROTOTYPE(socket, int, (int, int, int));
EXPORT(int, socket, (int domain, int type, int protocol)) {
  struct charge_pair s;
  int error = buffers_of_new(domain, type, refusal_of(domain), "socket");
  if (likely(!error)) error = pair_begin(&s, what_is(domain, type), 1, refusal_of(domain), "socket", domain, type);
  if (unlikely(error)) return errno = error, -1;
  int fd = NEXT(socket)(domain, type, protocol);
  pair_end(&s, &fd, 1, fd >= 0);
  return fd;
}

SAME_PROTOTYPE(socketpair, int, (int, int, int, int[2]));
EXPORT(int, socketpair, (int domain, int type, int protocol, int fds[2])) {
  struct charge_pair s;
  int error = buffers_of_new(domain, type, refusal_of(domain), "socketpair");
  if (likely(!error)) error = pair_begin(&s, what_is(domain, type), 2, refusal_of(domain), "socketpair", domain, type);
  if (unlikely(error)) return errno = error, -1;
  int failed = NEXT(socketpair)(domain, type, protocol, fds);
  pair_end(&s, fds, 2, failed == 0);
  return failed;
}

static unsigned what_listens(struct bc_page *page, int fd) {
  unsigned what = owned_what(page, fd);
  if (what == BC_OWNED_TCP || what == BC_OWNED_OTHER) return what;
  int domain = 0;
  socklen_t n = sizeof domain;
  RAW(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &n);
  return what_is(domain, SOCK_STREAM);
}

// At the boundary: with no connection pending there is nothing to be refused, and a server that is told ENFILE for nothing
// would spin. 0 to go on and ask, or the errno to answer with.
static int nothing_to_accept(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  long n = RAW(SYS_poll, &p, 1, 0);
  if (n != 0) return 0;
  long flags = RAW(SYS_fcntl, fd, F_GETFL, 0);
  if (flags < 0) return 0; // no descriptor: the kernel says so
  if (flags & O_NONBLOCK) return pthread_testcancel(), EAGAIN;
  return poll(&p, 1, -1) < 0 ? errno : 0; // libc's: it blocks, so it stays a cancellation point
}

static bool plenty(struct bc_page *page, unsigned what) {
  return !buffers_bounded(page) && bc_load(&bc_page_cell(page, BC_NUMFILE)->credit) > 0 &&
         bc_load(&bc_page_cell(page, owned_second(what))->credit) > 0;
}

// Charged before, because a connection that is taken cannot be put back. Refused: ENFILE, whatever refused it, and the
// connection stays pending (nginx pauses on ENFILE, and spins on ENOBUFS).
// It may have been left just after it came back: then a recount finds what is there.
static void left(void *begun) {
  struct charge_pair *s = begun;
  if (s->file.page) uncertain(s->file.page, BC_NUMFILE);
  if (s->kind.page) uncertain(s->kind.page, owned_second(s->what));
  pair_end(s, NULL, 1, false);
}

#define ACCEPT(name, params, args)                                                       \
  EXPORT(int, name, params) {                                                            \
    struct bc_page *page = member_page();                                                \
    struct charge_pair s;                                                              \
    if (unlikely(page == NULL)) return NEXT(name) args;                                  \
    unsigned what = what_listens(page, fd);                                              \
    int error = unlikely(!plenty(page, what)) ? nothing_to_accept(fd) : 0;               \
    if (likely(!error) && what == BC_OWNED_TCP) error = buffers_of_new(AF_INET, SOCK_STREAM, ENFILE, #name); \
    if (likely(!error)) error = pair_begin(&s, what, 1, ENFILE, #name, fd, 0);              \
    if (unlikely(error)) return errno = error, -1;                                       \
    int got = LEAVABLE(left, &s, NEXT(name) args);                                       \
    pair_end(&s, &got, 1, got >= 0);                                                  \
    return got;                                                                          \
  }
ACCEPT(accept, (int fd, struct sockaddr *from, socklen_t *n), (fd, from, n))
ACCEPT(accept4, (int fd, struct sockaddr *from, socklen_t *n, int flags), (fd, from, n, flags))

static unsigned what_came(int fd) {
  int domain = 0, type = 0;
  socklen_t n = sizeof domain;
  if (RAW(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0) return BC_OWNED_FILE;
  RAW(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &n);
  return what_is(domain, type);
}

// Descriptors that came by SCM_RIGHTS are here already: charged with FORCE, and no longer surely anyone's alone. The
// sender, if it is one of us, has them charged too, until a recount sees that the two are one.
static void received(const struct msghdr *message, const char *call) {
  if (!member_page()) return;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR((struct msghdr *)message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const int *fds = (const int *)(const void *)CMSG_DATA(c);
    for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
      unsigned what = what_came(fds[i]);
      charge_force(BC_NUMFILE, 1, call);
      if (what > BC_OWNED_FILE) charge_force(owned_second(what), 1, call);
    }
  }
}

// Bad pointers are for the kernel to refuse (EFAULT): what is looked at before the call must be there.
static bool carries(const struct msghdr *message) {
  if (!readable(message) || !readable((const char *)(message + 1) - 1) || !message->msg_control || !message->msg_controllen) return false;
  const char *control = message->msg_control;
  if (message->msg_controllen > 65536) return false; // more than the kernel takes (net.core.optmem_max)
  for (size_t at = 0; at < message->msg_controllen; at += 4096)
    if (!readable(control + at)) return false;
  return readable(control + message->msg_controllen - 1);
}

// What is sent is no longer surely ours alone: closing it may leave it to whoever receives it. Said before it is on its way.
static void sent(const struct msghdr *message) {
  struct bc_page *page = member_joined();
  for (struct cmsghdr *c = page ? CMSG_FIRSTHDR(message) : NULL; c; c = CMSG_NXTHDR((struct msghdr *)message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(sizeof(int))) continue;
    const int *fds = (const int *)(const void *)CMSG_DATA(c);
    for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) owned_share(page, fds[i]);
  }
}

SAME_PROTOTYPE(sendmsg, ssize_t, (int, const struct msghdr *, int));
EXPORT(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags)) {
  if (unlikely(carries(message))) sent(message);
  return NEXT(sendmsg)(fd, message, flags);
}

SAME_PROTOTYPE(sendmmsg, int, (int, struct mmsghdr *, unsigned, int));
EXPORT(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned length, int flags)) {
  for (unsigned i = 0; i < length && readable(messages + i) && readable(messages + i + 1); i++)
    if (carries(&messages[i].msg_hdr)) sent(&messages[i].msg_hdr);
  return NEXT(sendmmsg)(fd, messages, length, flags);
}

SAME_PROTOTYPE(recvmsg, ssize_t, (int, struct msghdr *, int));
EXPORT(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags)) {
  ssize_t n = NEXT(recvmsg)(fd, message, flags);
  if (unlikely(n >= 0 && message->msg_control && message->msg_controllen)) received(message, "recvmsg");
  return n;
}

SAME_PROTOTYPE(recvmmsg, int, (int, struct mmsghdr *, unsigned, int, struct timespec *));
EXPORT(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned length, int flags, struct timespec *timeout)) {
  int n = NEXT(recvmmsg)(fd, messages, length, flags, timeout);
  for (int i = 0; i < n; i++)
    if (messages[i].msg_hdr.msg_controllen) received(&messages[i].msg_hdr, "recvmmsg");
  return n;
}
