#define _GNU_SOURCE
#include "mailbox.h"

#include "raw.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <time.h>

// A server that has taken a question and says nothing for so long has died over it.
enum { SLICE_MS = 10, TAKEN_MS = 15000 };

// False once a slice of time has passed without a change.
static bool changed(int32_t *state, int32_t seen) {
  struct timespec slice = {.tv_nsec = SLICE_MS * 1000000};
  return RAW(SYS_futex, state, FUTEX_WAIT, seen, &slice) != -ETIMEDOUT;
}

// For the server's watcher, and for other threads that wait for their turn: the page is shared, so the futex is no private one.
static void become(int32_t *state, int32_t next) {
  bc_exchange32(state, next);
  RAW(SYS_futex, state, FUTEX_WAKE, INT_MAX);
}

static bool take_back(int32_t *state, int32_t from) {
  if (!bc_cas32(state, from, BC_MAIL_FREE)) return false;
  RAW(SYS_futex, state, FUTEX_WAKE, INT_MAX);
  return true;
}

// Other threads' questions come first, each for no longer than it may take.
static bool seize(int32_t *state) {
  for (int left = 2 * TAKEN_MS; left > 0;) {
    if (bc_cas32(state, BC_MAIL_FREE, BC_MAIL_WRITING)) return true;
    int32_t seen = bc_load32(state);
    if (seen != BC_MAIL_FREE && !changed(state, seen)) left -= SLICE_MS;
  }
  return false;
}

__attribute__((noinline, cold)) enum ask_result mailbox_ask(struct bc_page *page, const struct bc_request *request,
                                                            struct bc_answer *answer, int milliseconds) {
  struct bc_mailbox *mail = &page->mail;
  if (!seize(&mail->state)) return ASK_LOST;
  mail->request = *request;
  become(&mail->state, BC_MAIL_ASKED);
  int32_t now;
  for (int waited = 0; (now = bc_load32(&mail->state)) != BC_MAIL_ANSWERED;) {
    if (changed(&mail->state, now)) continue;
    waited += SLICE_MS;
    if (waited >= milliseconds && take_back(&mail->state, BC_MAIL_ASKED)) return ASK_LOST;
    if (waited >= TAKEN_MS && take_back(&mail->state, BC_MAIL_TAKEN)) return ASK_LOST;
  }
  *answer = mail->answer;
  become(&mail->state, BC_MAIL_FREE);
  return answer->magic == BC_WIRE_MAGIC ? ASK_ANSWERED : ASK_LOST;
}
