#include "clinux.h"

#include <linux/futex.h>

// All of it is the loop's, but for what the thread reads under the lock.
static struct {
  pthread_mutex_t lock;
  const int32_t *words[CLINUX_WATCHED];
  unsigned n;
  uint32_t changes; // of the list: wakes the thread
  int32_t value;
  int event;
  pid_t process; // threads do not survive a fork
} w = {.lock = PTHREAD_MUTEX_INITIALIZER, .event = -1};

static void *watch(void *unused) {
  for (;;) {
    struct futex_waitv on[CLINUX_WATCHED + 1];
    bool there = false;
    pthread_mutex_lock(&w.lock);
    uint32_t changes = __atomic_load_n(&w.changes, __ATOMIC_SEQ_CST);
    on[0] = (struct futex_waitv){.val = changes, .uaddr = (uintptr_t)&w.changes, .flags = FUTEX_32};
    unsigned n = w.n;
    int event = w.event;
    for (unsigned i = 0; i < n; i++) {
      int32_t now = __atomic_load_n(w.words[i], __ATOMIC_SEQ_CST);
      there |= now == w.value;
      on[i + 1] = (struct futex_waitv){.val = (uint32_t)now, .uaddr = (uintptr_t)w.words[i], .flags = FUTEX_32};
    }
    pthread_mutex_unlock(&w.lock);
    if (there) eventfd_write(event, 1);
    // EAGAIN: one has changed meanwhile. EFAULT: one is no longer mapped, and no longer in the list.
    if (syscall(SYS_futex_waitv, on, n + 1, 0, NULL, 0) < 0 && errno == ENOSYS) return unused;
  }
}

static void changed(void) {
  __atomic_fetch_add(&w.changes, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, &w.changes, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void start(void) {
  pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER; // the one from before a fork may have been held by a thread that is not here
  w.lock = fresh;
  w.process = getpid();
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, 128 << 10);
  pthread_t thread;
  pthread_create(&thread, &attr, watch, NULL);
  pthread_attr_destroy(&attr);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int clinux_watcher(int32_t value) {
  if (w.process != getpid()) start();
  pthread_mutex_lock(&w.lock);
  if (w.event < 0) w.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  w.value = value;
  pthread_mutex_unlock(&w.lock);
  changed(); // the thread may have looked for another already
  return w.event;
}

bool clinux_watch(const int32_t *word) {
  if (w.n == CLINUX_WATCHED) return false;
  if (w.process != getpid()) start();
  pthread_mutex_lock(&w.lock);
  w.words[w.n++] = word;
  pthread_mutex_unlock(&w.lock);
  changed();
  return true;
}

void clinux_unwatch(const int32_t *word) {
  if (w.process != getpid()) start();
  pthread_mutex_lock(&w.lock);
  for (unsigned i = 0; i < w.n; i++)
    if (w.words[i] == word) w.words[i--] = w.words[--w.n];
  pthread_mutex_unlock(&w.lock);
  changed();
}

void clinux_wake(const int32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0); }
