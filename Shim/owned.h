// Which descriptors are surely this process's alone: it made them, and no dup and no fork has shared them since. Closing
// such a one gives its charge back; closing any other may or may not free a description, which only a recount knows.
#ifndef SHIM_OWNED_H
#define SHIM_OWNED_H

#include "credit.h"

static inline uint16_t *owned_word(struct bc_page *page, int fd) {
  return (unsigned)fd < BC_OWNED_FDS ? (uint16_t *)((char *)page + BC_PAGE_SIZE) + fd : NULL;
}

static inline void owned_set(struct bc_page *page, int fd, unsigned what) {
  uint16_t *word = owned_word(page, fd);
  uint32_t generation = __atomic_load_n(&page->generation, __ATOMIC_SEQ_CST);
  if (likely(word != NULL)) __atomic_store_n(word, (uint16_t)(generation << 2 | what), __ATOMIC_SEQ_CST);
}

// What it was, and no longer ours; 0 when that was not sure.
static inline unsigned owned_take(struct bc_page *page, int fd) {
  uint16_t *word = owned_word(page, fd);
  if (unlikely(word == NULL) || !__atomic_load_n(word, __ATOMIC_RELAXED)) return 0;
  uint32_t was = __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST);
  return was >> 2 == __atomic_load_n(&page->generation, __ATOMIC_SEQ_CST) ? was & 3 : 0;
}

static inline unsigned owned_socket_resource(unsigned what) {
  return what == BC_OWNED_TCP ? BC_NUMTCPSOCK : BC_NUMOTHERSOCK;
}

// A descriptor about to be closed, by whatever call closes it.
struct release {
  struct bc_page *page;
  unsigned what;
};

static inline struct release release_begin(int fd) {
  struct release r = {member_joined(), 0};
  if (unlikely(r.page == NULL)) return r;
  r.what = owned_take(r.page, fd);
  if (likely(r.what)) __atomic_fetch_add(&bc_page_cell(r.page, BC_NUMFILE)->pending, 1, __ATOMIC_SEQ_CST);
  if (unlikely(r.what > BC_OWNED_FILE))
    __atomic_fetch_add(&bc_page_cell(r.page, owned_socket_resource(r.what))->pending, 1, __ATOMIC_SEQ_CST);
  return r;
}

// `closed`: the descriptor is gone. Linux frees it whatever close answers, but for EBADF.
static inline void release_end(struct release r, int fd, bool closed) {
  if (unlikely(r.page == NULL)) return;
  struct bc_cell *files = bc_page_cell(r.page, BC_NUMFILE);
  if (likely(r.what)) {
    if (unlikely(!closed)) owned_set(r.page, fd, r.what);
    if (unlikely(r.what > BC_OWNED_FILE)) {
      struct bc_cell *sockets = bc_page_cell(r.page, owned_socket_resource(r.what));
      if (likely(closed)) credit_give(sockets, 1);
      credit_settle(sockets);
    }
    if (likely(closed)) credit_give(files, 1);
    credit_settle(files);
  } else if (closed) {
    // It may have been the last of a shared description: files, and perhaps sockets, are now an upper estimate.
    __atomic_store_n(&files->uncertain, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&bc_page_cell(r.page, BC_NUMTCPSOCK)->uncertain, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&bc_page_cell(r.page, BC_NUMOTHERSOCK)->uncertain, 1, __ATOMIC_SEQ_CST);
  }
}

// After a call that makes one file: its descriptor, or −1.
static inline void file_made(struct charge c, int fd) {
  if (likely(c.page != NULL) && likely(fd >= 0)) owned_set(c.page, fd, BC_OWNED_FILE);
  charge_end(c, BC_NUMFILE, fd < 0);
}

#endif
