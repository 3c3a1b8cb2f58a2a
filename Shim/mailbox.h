// The way to the server where no socket is to be had (design §4): the same message, in this process's own page.
#ifndef SHIM_MAILBOX_H
#define SHIM_MAILBOX_H

#include "ask.h"

// Puts the question, and takes it back when no server has taken it after so many milliseconds: ASK_LOST then. Signals are
// blocked by whoever calls, so that no handler finds the mailbox half written. Never ASK_NO_DESCRIPTOR.
enum ask_result mailbox_ask(struct bc_page *page, const struct bc_request *request, struct bc_answer *answer, int milliseconds);

#endif
