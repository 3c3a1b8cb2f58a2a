// Socket buffers. What is queued is the kernel's to say (sock_diag), and no send is refused: where a row of buffers has a
// bound, those calls are held to it that make a socket, or that let its buffers grow.
#ifndef SHIM_BUFFERS_H
#define SHIM_BUFFERS_H

#include "credit.h"

static inline bool buffers_bounded(const struct bc_page *page) { return page->flags & BC_ANSWER_BUFFERS; }

int buffers_ask_for_new(int domain, int type, int refusal, const char *call);

// Whether there is room for what the kernel lets every new socket buffer at least: 0, or the errno to refuse with.
static inline int buffers_of_new(int domain, int type, int refusal, const char *call) {
  struct bc_page *page = member_page();
  return likely(page == NULL) || likely(!buffers_bounded(page)) ? 0 : buffers_ask_for_new(domain, type, refusal, call);
}

#endif
