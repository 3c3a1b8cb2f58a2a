#include "clinux.h"

#include <stdio.h>

void clinux_open_standard(void) {
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) < 0) open("/dev/null", O_RDWR | O_CLOEXEC); // the lowest that is free: this one
}

int clinux_rename(const char *from, const char *to) { return rename(from, to); }

int clinux_open_report(const char *path) {
  static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
  int fd = strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0 ? 1 : strcmp(path, "/dev/stderr") == 0 ? 2 : -1;
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    size_t n = strlen(folders[i]);
    char *end;
    if (strncmp(path, folders[i], n) == 0 && path[n] >= '0' && path[n] <= '9') {
      long number = strtol(path + n, &end, 10);
      if (!*end && number <= INT_MAX) fd = (int)number;
    }
  }
  return fd < 0 ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

int clinux_write_all(int fd, const char *text, size_t size) {
  sigset_t pipe, before;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  int error = 0;
  while (size > 0 && !error) {
    ssize_t n = write(fd, text, size);
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    if (n >= 0) text += n, size -= (size_t)n;
    else if (errno == EAGAIN) poll(&one, 1, -1);
    else if (errno != EINTR) error = errno;
  }
  if (error == EPIPE) sigtimedwait(&pipe, NULL, &(struct timespec){0}); // the one that came with it
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

// The value of a digit of base64; 64 for what is none.
static unsigned digit(char c) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *at = c ? strchr(digits, c) : NULL;
  return at ? (unsigned)(at - digits) : 64;
}

// In place: how many bytes `text` says, or −1.
static ssize_t decode(char *text) {
  size_t n = strcspn(text, "="), size = 0;
  if (strspn(text + n, "=") != strlen(text + n)) return -1;
  unsigned bits = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned value = digit(text[i]);
    if (value == 64) return -1;
    bits = bits << 6 | value;
    if (i % 4) text[size++] = (char)(bits >> (6 - 2 * (i % 4)));
  }
  return (ssize_t)size;
}

void clinux_restore_environment(void) {
  const char *encoded = getenv("BC_ENVIRONMENT");
  char *block = encoded ? strdup(encoded) : NULL;
  if (!block) return;
  ssize_t size = decode(block);
  size_t count = 0;
  for (ssize_t i = 0; i < size; i++) count += block[i] == 0;
  char **entries = size < 0 || (size > 0 && block[size - 1]) ? NULL : calloc(count + 1, sizeof *entries);
  if (!entries) {
    unsetenv("BC_ENVIRONMENT");
    return free(block);
  }
  char *at = block;
  for (size_t i = 0; i < count; i++, at += strlen(at) + 1) entries[i] = at;
  environ = entries; // it lives as long as the process
}
