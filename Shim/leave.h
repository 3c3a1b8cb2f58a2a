// A call that may block with its charge begun, and may be left without coming back: by cancellation, or by a jump out of a
// handler that interrupted it. libc runs these then, in both cases (glibc nptl/unwind.c unwind_stop, nptl/cleanup_compat.c; its
// siglongjmp unwinds the same list). Only from functions that are not on the fast path: two calls.
#ifndef SHIM_LEAVE_H
#define SHIM_LEAVE_H

#include <pthread.h>

// Exported by glibc, and used by programs that were linked before 2.3.3; declared nowhere any more.
extern void _pthread_cleanup_push(struct _pthread_cleanup_buffer *, void (*)(void *), void *);
extern void _pthread_cleanup_pop(struct _pthread_cleanup_buffer *, int run);

// The value of `expression`; where it is left, left(argument) runs.
#define LEAVABLE(left, argument, expression)            \
  ({                                                    \
    struct _pthread_cleanup_buffer buffer_;             \
    _pthread_cleanup_push(&buffer_, left, argument);    \
    __typeof__(expression) result_ = (expression);      \
    _pthread_cleanup_pop(&buffer_, 0);                  \
    result_;                                            \
  })

#endif
