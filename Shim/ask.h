// The one slow path: a question to the server. The socket lives for one question, so that between charges the
// program has no descriptor that it did not open.
#ifndef SHIM_ASK_H
#define SHIM_ASK_H

#include "wire.h"

#include <signal.h>

enum ask_result {
  ASK_ANSWERED,      // answer is filled in: 0 or a denial
  ASK_LOST,          // no server: the policy of --on-server-loss decides
  ASK_NO_DESCRIPTOR, // the program has none free: its own call will find so too
};

// Fills in magic, token, thread. Keeps errno, uses raw system calls and under 2 KiB of stack, and works in a signal
// handler. `fd`, where given, receives the descriptor that came with the answer, or −1.
enum ask_result ask(struct bc_request *request, struct bc_answer *answer, int *fd);

// The same from a page that has not been joined with yet, by its mailbox.
enum ask_result ask_by_mail(struct bc_page *page, struct bc_request *request, struct bc_answer *answer);

// The program has changed its root directory or its namespaces: whether the server can still be reached.
void ask_from_elsewhere(void);

// Before a fork, and in its child: questions of other threads are no descriptors of the child's.
void ask_before_fork(struct bc_page *page);
void ask_in_child(void);

// Says something that needs no answer.
void tell(struct bc_request *request);

void ask_block_signals(sigset_t *before);
void ask_restore_signals(const sigset_t *before);

// What a question is about, for the record of denials: the call, and a path or some other text, or the numbers it was
// given. Put together where the question is asked, so that it costs the fast path nothing.
struct about {
  const char *call, *text;
  struct bc_numbers numbers; // where there is no text
};
void ask_about(struct bc_request *request, struct about about);

// Copies a path or a name into a request, cut at its size.
void ask_text(char *to, size_t size, const char *from);

// What to answer where there is no server: true lets the call go on.
bool ask_allowed_on_loss(void);

#endif
