#include "credit.h"

#include <errno.h>

void credit_lowest(struct bc_cell *cell, int64_t left) {
  int64_t low = bc_load(&cell->low);
  while (left < low && !bc_cas(&cell->low, &low, left)) {}
}

__attribute__((noinline)) bool credit_take_more(struct bc_cell *cell, int64_t n) {
  for (int64_t seen = bc_load(&cell->credit); seen >= n;) {
    int64_t left = seen - n;
    bool newest = left < bc_load(&cell->low);
    // A new maximum must not rest on an estimate: maxheld is exact.
    if (newest && bc_load32(&cell->uncertain)) break;
    if (!bc_cas(&cell->credit, &seen, left)) continue;
    if (newest) credit_lowest(cell, left);
    return true;
  }
  credit_settle(cell);
  return false;
}

__attribute__((noinline, cold)) int credit_ask(struct bc_page **where, unsigned resource, int64_t n, unsigned severity,
                                               int refusal, struct about about) {
  struct bc_cell *cell = bc_page_cell(*where, resource);
  bool sure = false;
  do {
    struct bc_request request = {
        .kind = bc_load(&cell->credit) >= n ? BC_VERIFY : BC_CHARGE,
        .resource = (uint8_t)resource,
        .severity = (uint8_t)severity,
        .amount = n,
        .child = refusal, // the errno that the program will see, for the record of denials
    };
    struct bc_answer answer;
    ask_about(&request, about);
    switch (ask(&request, &answer, NULL)) {
      case ASK_ANSWERED:
        if (answer.error) return refusal;
        if (answer.flags & BC_ANSWER_UNCHARGED) return CREDIT_PASS;
        if (answer.flags & BC_ANSWER_TAKEN) return 0;
        sure = answer.flags & BC_ANSWER_SURE;
        if (answer.flags & BC_ANSWER_REJOIN) {
          *where = member_rejoin(*where);
          if (!*where) return CREDIT_PASS;
          cell = bc_page_cell(*where, resource);
        }
        break;
      case ASK_LOST: // what is in hand is granted, though nobody can look whether it makes a new maximum
        if (request.kind == BC_VERIFY && credit_take_sure(cell, n)) return 0;
        return ask_allowed_on_loss() ? CREDIT_PASS : refusal;
      case ASK_NO_DESCRIPTOR: // no descriptor for us, so none for the call: the kernel will say EMFILE
        __atomic_store_n(&cell->uncertain, 1, __ATOMIC_SEQ_CST); // unless another thread closes one just now
        return CREDIT_PASS;
    }
  } while (!(sure ? credit_take_sure(cell, n) : credit_take(cell, n))); // another thread may have spent what came
  return 0;
}

__attribute__((noinline, cold)) struct charge charge_slowly(struct bc_page *page, unsigned resource, int64_t n,
                                                            int refusal, const char *call, const char *detail) {
  int error = credit_ask(&page, resource, n, BC_HARD, refusal, (struct about){.call = call, .text = detail});
  return charge_of(error ? NULL : page, error == CREDIT_PASS ? 0 : error);
}

__attribute__((noinline, cold)) struct charge charge_slowly_with(struct bc_page *page, unsigned resource, int64_t n, int refusal,
                                                                 const char *call, struct bc_numbers numbers) {
  int error = credit_ask(&page, resource, n, BC_HARD, refusal, (struct about){.call = call, .numbers = numbers});
  return charge_of(error ? NULL : page, error == CREDIT_PASS ? 0 : error);
}

struct charge charge_severely(struct bc_page *page, unsigned resource, int64_t n, unsigned severity, int refusal,
                              struct about about) {
  if (credit_take(bc_page_cell(page, resource), n)) return charge_of(page, 0);
  int error = credit_ask(&page, resource, n, severity, refusal, about);
  return charge_of(error ? NULL : page, error == CREDIT_PASS ? 0 : error);
}

// Says that it is unsure again and again, and that something is on its way: a count meanwhile would forget the first word,
// and find what is here already and not yet charged.
void charge_force(unsigned resource, int64_t n, const char *call) {
  struct bc_page *page = member_page();
  struct bc_cell *cell = page ? bc_page_cell(page, resource) : NULL;
  for (int i = 0; page && i < 8; i++) {
    __atomic_fetch_add(&cell->pending, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&cell->uncertain, 1, __ATOMIC_SEQ_CST); // somebody else may have it charged too
    __atomic_store_n(&page->alone, 0, __ATOMIC_SEQ_CST);
    int64_t seen = bc_load(&cell->credit);
    // Without a word on the least credit: this makes no maximum.
    while (seen >= n && !bc_cas(&cell->credit, &seen, seen - n)) {}
    __atomic_store_n(&cell->uncertain, 1, __ATOMIC_SEQ_CST);
    credit_settle(cell);
    if (seen >= n) return;
    struct bc_request request = {.kind = BC_CHARGE, .resource = (uint8_t)resource, .severity = BC_FORCE, .amount = n};
    struct bc_answer answer;
    ask_text(request.call, sizeof request.call, call);
    if (ask(&request, &answer, NULL) != ASK_ANSWERED || answer.error || answer.flags & BC_ANSWER_UNCHARGED) return;
    if (answer.flags & BC_ANSWER_TAKEN) {
      __atomic_store_n(&cell->uncertain, 1, __ATOMIC_SEQ_CST);
      credit_settle(cell);
      return;
    }
    if (answer.flags & BC_ANSWER_REJOIN) {
      page = member_rejoin(page);
      if (page) cell = bc_page_cell(page, resource);
    }
  }
}
