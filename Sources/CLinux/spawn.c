#include "clinux.h"

#include <stdio.h>

static const char *variable(char *const env[], const char *name) {
  size_t n = strlen(name);
  for (; *env; env++)
    if (strncmp(*env, name, n) == 0 && (*env)[n] == '=') return *env + n + 1;
  return NULL;
}

static bool is_executable(const char *path) {
  struct stat info;
  if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 || stat(path, &info) < 0) return false;
  if (S_ISREG(info.st_mode)) return true;
  return errno = EACCES, false;
}

// The file that `name` means; 0, or an errno, as execvp(3) tells them.
static int find(const char *name, const char *along, char path[PATH_MAX]) {
  if (!*name) return ENOENT;
  if (strchr(name, '/')) {
    if (strlen(name) >= PATH_MAX) return ENAMETOOLONG;
    strcpy(path, name);
    return is_executable(path) ? 0 : errno;
  }
  int error = ENOENT;
  for (const char *from = along ? along : "/bin:/usr/bin", *end;; from = end + 1) {
    end = strchrnul(from, ':');
    int n = snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - from), from, end > from ? "/" : "./", name);
    if (n > 0 && n < PATH_MAX) {
      if (is_executable(path)) return 0;
      if (errno == EACCES) error = EACCES;
    }
    if (!*end) return error;
  }
}

// Whether what the kernel cannot execute is for a shell: as bash has it, when it is no ELF file and no NUL is in its first line.
static bool is_script(const char *path) {
  char head[256];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);
  if (fd >= 0) close(fd);
  if (n < 0 || (n >= 4 && memcmp(head, "\177ELF", 4) == 0)) return false;
  const char *line = n ? memchr(head, '\n', (size_t)n) : NULL;
  return !memchr(head, 0, line ? (size_t)(line - head) : (size_t)n);
}

// The same words for a shell, which gets the file in the place of the second: made before the child is, which has no room of
// its own where a bound on memory holds it.
static char **for_shell(char *const argv[]) {
  size_t n = 0;
  while (argv[n]) n++;
  char **words = calloc(n + 2, sizeof *words);
  if (!words) return NULL;
  words[0] = (char *)"/bin/sh";
  if (n) memcpy(words + 2, argv + 1, n * sizeof *words); // and the null at the end
  return words;
}

// In the child: becomes argv[0], or returns why not.
static int execute(char *const argv[], char *const env[], const char *directory, const sigset_t *mask, char **shell) {
  static char path[PATH_MAX];
  if (directory && chdir(directory) < 0) return CLINUX_NO_DIRECTORY;
  int error = find(argv[0], variable(env, "PATH"), path);
  if (error) return error;
  sigprocmask(SIG_SETMASK, mask, NULL);
  execve(path, argv, env);
  if (errno == ENOENT) return CLINUX_NO_INTERPRETER;
  if (errno != ENOEXEC) return errno;
  if (!is_script(path)) return ENOEXEC;
  shell[1] = path;
  execve(shell[0], shell, env);
  return errno;
}

int clinux_spawn(pid_t *child, char *const argv[], char *const env[], const sigset_t *mask, const char *directory,
                 const unsigned long long *lease) {
  char **shell = for_shell(argv);
  if (!shell) return ENOMEM;
  volatile int error = 0; // the child of a vfork writes to it
  // The child's own limit, and not one that it inherits: this process may have more than the lease.
  pid_t pid = vfork();
  if (pid == 0) {
    error = lease && clinux_prlimit(0, *lease, NULL) ? CLINUX_NO_LEASE : execute(argv, env, directory, mask, shell);
    _exit(127);
  }
  if (pid < 0) error = errno;
  else if (error) waitpid(pid, NULL, 0);
  *child = pid;
  free(shell);
  return error;
}

// In the child: 0 once the server has let it in.
static int enter(const char *server, const void *question, size_t size) {
  char reply[1024];
  int fd = clinux_connect(server);
  if (fd < 0) return errno;
  if (send(fd, question, size, MSG_NOSIGNAL) != (ssize_t)size) return EIO;
  ssize_t n = recv(fd, reply, sizeof reply, 0);
  close(fd);
  static const char no[] = "{\"error\"";
  return n < (ssize_t)sizeof no || memcmp(reply, no, sizeof no - 1) == 0 ? CLINUX_NOT_LET_IN : 0;
}

int clinux_spawn_entering(pid_t *child, char *const argv[], char *const env[], const sigset_t *mask, const char *directory,
                          const char *server, const void *question, size_t size) {
  int told[2], error = 0;
  char **shell = for_shell(argv);
  if (!shell || pipe2(told, O_CLOEXEC) < 0) return free(shell), errno;
  *child = fork();
  if (*child == 0) {
    error = enter(server, question, size);
    if (!error) error = execute(argv, env, directory, mask, shell);
    if (write(told[1], &error, sizeof error) < 0) _exit(126);
    _exit(127);
  }
  close(told[1]);
  if (*child < 0) error = errno;
  else if (read(told[0], &error, sizeof error) == sizeof error) waitpid(*child, NULL, 0);
  else error = 0;
  close(told[0]);
  free(shell);
  return error;
}
