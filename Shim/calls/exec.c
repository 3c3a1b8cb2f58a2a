// New images: what they need to join goes with them, and the server hears what is about to run.
#define _GNU_SOURCE
#include "member.h"
#include "next.h"
#include "task.h"

#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

// Built on the stack: execve is async-signal-safe, and may run in a child of vfork.
#define EXEC(call, shown, along_path, environment, expression)                                 \
  do {                                                                                         \
    size_t n_ = environment_entries(environment);                                              \
    char **room_ = alloca((n_ + 1) * sizeof(char *));                                          \
    char *const *with = n_ ? environment_repaired(environment, room_) : (environment);         \
    struct image image_ = {.path = shown, .env = with, .searched = along_path};                \
    struct exec exec_ = exec_begin(call, &image_);                                             \
    if (exec_.error) return errno = exec_.error, -1;                                           \
    int result_ = (expression);                                                                \
    exec_failed(exec_);                                                                        \
    return result_;                                                                            \
  } while (0)

SAME_PROTOTYPE(execve, int, (const char *, char *const[], char *const[]));
EXPORT(int, execve, (const char *path, char *const argv[], char *const env[])) {
  EXEC("execve", path, false, env, NEXT(execve)(path, argv, with));
}

SAME_PROTOTYPE(execvpe, int, (const char *, char *const[], char *const[]));
EXPORT(int, execvpe, (const char *file, char *const argv[], char *const env[])) {
  EXEC("execvpe", file, true, env, NEXT(execvpe)(file, argv, with));
}

SAME_PROTOTYPE(fexecve, int, (int, char *const[], char *const[]));
EXPORT(int, fexecve, (int fd, char *const argv[], char *const env[])) {
  EXEC("fexecve", NULL, false, env, NEXT(fexecve)(fd, argv, with));
}

EXPORT(int, execveat, (int at, const char *path, char *const argv[], char *const env[], int flags)) {
  EXEC("execveat", path, false, env, NEXT(execveat)(at, path, argv, with, flags));
}

SAME_PROTOTYPE(execv, int, (const char *, char *const[]));
EXPORT(int, execv, (const char *path, char *const argv[])) { return bc_execve(path, argv, environ); }

SAME_PROTOTYPE(execvp, int, (const char *, char *const[]));
EXPORT(int, execvp, (const char *file, char *const argv[])) { return bc_execvpe(file, argv, environ); }

// The words of an execl call, as an array.
#define COLLECTED(first, last)                                                                 \
  size_t count = 1;                                                                            \
  va_list words;                                                                               \
  va_start(words, first);                                                                      \
  while (va_arg(words, char *)) count++;                                                       \
  va_end(words);                                                                               \
  char **argv = alloca((count + 1) * sizeof *argv);                                            \
  argv[0] = (char *)first;                                                                     \
  va_start(words, first);                                                                      \
  for (size_t i = 1; i <= count; i++) argv[i] = va_arg(words, char *);                         \
  last;                                                                                        \
  va_end(words)

EXPORT(int, execl, (const char *path, const char *first, ...)) {
  COLLECTED(first, (void)0);
  return bc_execve(path, argv, environ);
}

EXPORT(int, execlp, (const char *file, const char *first, ...)) {
  COLLECTED(first, (void)0);
  return bc_execvpe(file, argv, environ);
}

EXPORT(int, execle, (const char *path, const char *first, ...)) {
  char *const *env;
  COLLECTED(first, env = va_arg(words, char *const *));
  return bc_execve(path, argv, env);
}
