#define _GNU_SOURCE
#include "task.h"

#include "ask.h"
#include "credit.h"

#include <errno.h>

int task_begin(enum bc_birth birth, const char *call, const char *detail) {
  if (!member_page()) return 0;
  struct bc_request request = {.kind = BC_FORK, .resource = BC_NUMPROC, .amount = 1, .birth = (uint16_t)birth};
  struct bc_answer answer;
  ask_text(request.call, sizeof request.call, call);
  ask_text(request.detail, sizeof request.detail, detail);
  switch (ask(&request, &answer, NULL)) {
    case ASK_ANSWERED:
      if (answer.error) return answer.error;
      break;
    case ASK_NO_DESCRIPTOR: // the server finds the child by itself, at its next audit
      break;
    case ASK_LOST:
      if (!ask_allowed_on_loss()) return EAGAIN;
  }
  member_before_fork();
  return 0;
}

void task_end(enum bc_birth birth, pid_t child, const char *detail) {
  if (!member_joined()) return;
  struct bc_request request = {
      .kind = BC_FORKED, .resource = BC_NUMPROC, .amount = 1, .birth = (uint16_t)birth, .child = child};
  ask_text(request.detail, sizeof request.detail, detail);
  tell(&request);
}

int exec_begin(const char *call, const char *path) {
  if (standing != STANDING_INSIDE) return 0;
  struct bc_request request = {.kind = BC_EXEC};
  struct bc_answer answer;
  ask_text(request.call, sizeof request.call, call);
  ask_text(request.detail, sizeof request.detail, path);
  return ask(&request, &answer, NULL) == ASK_ANSWERED ? answer.error : 0;
}

void exec_failed(void) {
  if (standing != STANDING_INSIDE) return;
  struct bc_request request = {.kind = BC_EXEC_FAILED};
  tell(&request);
}
