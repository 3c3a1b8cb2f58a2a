// The fast path of things: one compare-and-swap on this process's cell (the order that makes it safe is in wire.h).
#ifndef SHIM_CREDIT_H
#define SHIM_CREDIT_H

#include "ask.h"
#include "member.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

static inline void credit_settle(struct bc_cell *cell) { __atomic_fetch_sub(&cell->pending, 1, __ATOMIC_SEQ_CST); }

// So little was left: a new maximum, if it is less than ever since the server last looked.
void credit_lowest(struct bc_cell *cell, int64_t left);

// The rest of credit_take, with the charge pending: a new maximum, or somebody else was quicker.
bool credit_take_more(struct bc_cell *cell, int64_t n);

// Takes n units and leaves the charge pending; false where the server must be asked.
static inline bool credit_take(struct bc_cell *cell, int64_t n) {
  int64_t seen = bc_load(&cell->credit);
  if (unlikely(seen < n)) return false; // and nothing is pending that a recount would have to reckon with
  __atomic_fetch_add(&cell->pending, BC_BEGINS, __ATOMIC_SEQ_CST);
  int64_t left = seen - n;
  if (likely(left >= bc_load(&cell->low)) && likely(bc_cas(&cell->credit, &seen, left))) return true;
  return credit_take_more(cell, n);
}

// The same where the server has said that it may.
static inline bool credit_take_sure(struct bc_cell *cell, int64_t n) {
  __atomic_fetch_add(&cell->pending, BC_BEGINS, __ATOMIC_SEQ_CST);
  int64_t seen = bc_load(&cell->credit);
  while (seen >= n)
    if (bc_cas(&cell->credit, &seen, seen - n)) return true;
  credit_settle(cell);
  return false;
}

static inline void credit_give(struct bc_cell *cell, int64_t n) { bc_add(&cell->credit, n); }

// Asks until the units are there. 0, CREDIT_PASS, or the errno of the denial; the charge is pending only after 0.
enum { CREDIT_PASS = -1 }; // goes on uncharged: the kernel will refuse it, or the server is lost and policy allows
int credit_ask(struct bc_page **page, unsigned resource, int64_t n, unsigned severity, int refusal, struct about about);

// A charge about to be made, and what became of it. All of one call's charges are one of these.
struct charge {
  struct bc_page *page; // null: passes through uncharged
  int error;            // why it was denied
  // page.generation of before there is what is charged for: what a child may have been forked with is of an older one.
  uint32_t generation;
};

static inline struct charge charge_of(struct bc_page *page, int error) {
  return (struct charge){page, error, likely(page != NULL) ? __atomic_load_n(&page->generation, __ATOMIC_SEQ_CST) : 0};
}

// By value: a charge that stays in registers saves the fast path four instructions.
struct charge charge_slowly(struct bc_page *page, unsigned resource, int64_t n, int refusal, const char *call,
                            const char *detail);
struct charge charge_slowly_with(struct bc_page *page, unsigned resource, int64_t n, int refusal, const char *call,
                                 struct bc_numbers numbers);

static inline struct charge charge_begin(unsigned resource, int64_t n, int refusal, const char *call, const char *detail) {
  struct bc_page *page = member_page();
  if (likely(page != NULL) && !likely(credit_take(bc_page_cell(page, resource), n)))
    return charge_slowly(page, resource, n, refusal, call, detail);
  return charge_of(page, 0);
}

// The same for a call whose arguments are numbers.
static inline struct charge charge_begin_with(unsigned resource, int64_t n, int refusal, const char *call, int64_t a, int64_t b) {
  struct bc_page *page = member_page();
  if (likely(page != NULL) && !likely(credit_take(bc_page_cell(page, resource), n)))
    return charge_slowly_with(page, resource, n, refusal, call, (struct bc_numbers){{a, b, 0}});
  return charge_of(page, 0);
}

// After the system call: what was not obtained is given back.
static inline void charge_end(struct charge c, unsigned resource, int64_t unused) {
  if (!likely(c.page != NULL)) return;
  struct bc_cell *cell = bc_page_cell(c.page, resource);
  if (unused) credit_give(cell, unused);
  credit_settle(cell);
}

// The same with a severity other than HARD.
struct charge charge_severely(struct bc_page *page, unsigned resource, int64_t n, unsigned severity, int refusal,
                              struct about about);

// Records what is there already, whatever the bounds say (FORCE).
void charge_force(unsigned resource, int64_t n, const char *call);

#endif
