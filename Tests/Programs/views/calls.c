// Calls on the paths of the views, each with what it comes to.
//   calls ID     ID of the beancounter that this runs in
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char all[] = "/proc/user_beancounters";
static char own[64], own_folder[64], other[64];

static void said(const char *what, int done) { printf("%s: %s\n", what, done ? "ok" : strerrorname_np(errno)); }

// Opened, and closed again.
static void opens(const char *what, const char *path, int flags) {
  int fd = open(path, flags, 0600);
  said(what, fd >= 0);
  if (fd >= 0) close(fd);
}

static void streams(const char *what, const char *path, const char *mode) {
  FILE *file = fopen(path, mode);
  said(what, file != NULL);
  if (file) fclose(file);
}

// By its path and by its descriptor, new ways and old.
static void agrees(const char *path) {
  struct stat named, opened;
  struct statx more;
  int fd = open(path, O_RDONLY);
  int same = fd >= 0 && stat(path, &named) == 0 && fstat(fd, &opened) == 0 && named.st_dev == opened.st_dev &&
             named.st_ino == opened.st_ino && named.st_mode == opened.st_mode && named.st_size == opened.st_size &&
             statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &more) == 0 && more.stx_ino == opened.st_ino &&
             more.stx_mode == opened.st_mode;
  printf("fstat of %s: %s\n", path, same ? "the same" : "another");
  if (fd >= 0) close(fd);
}

static void shows(const char *what, const char *path) {
  struct stat info;
  struct statx more;
  int error = stat(path, &info);
  said(what, error == 0);
  if (error) return;
  printf("%s: mode %o, size %ld, owner %u:%u\n", what, info.st_mode, (long)info.st_size, info.st_uid, info.st_gid);
  if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &more) || more.stx_mode != info.st_mode || more.stx_ino != info.st_ino)
    printf("%s: statx says otherwise\n", what);
}

// Read whole, by its descriptor.
static size_t text_of(int fd, char *room, size_t size) {
  size_t total = 0;
  for (ssize_t n; total < size && (n = read(fd, room + total, size - total)) > 0;) total += (size_t)n;
  return total;
}

static void reads(void) {
  static char once[16384], again[16384];
  int fd = open(all, O_RDONLY);
  if (fd < 0) return said("open to read", 0);
  int next = dup(fd);
  printf("numbers in order: %s\n", next == fd + 1 ? "yes" : "no");
  close(next);
  size_t n = text_of(fd, once, sizeof once);
  said("lseek", lseek(fd, 0, SEEK_SET) == 0);
  size_t m = text_of(fd, again, sizeof again);
  printf("read again: %s\n", n > 2000 && n == m && memcmp(once, again, n) == 0 ? "the same" : "another");
  void *mapped = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
  printf("mapped: %s\n", mapped != MAP_FAILED && memcmp(mapped, once, n) == 0 ? "the same" : "another");
  said("shared and writable map", mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
  said("write", write(fd, "x", 1) == 1);
  said("ftruncate", ftruncate(fd, 0) == 0);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int writer = open(path, O_WRONLY); // root may, whatever the mode
  printf("written by another way: %s\n", writer >= 0 && write(writer, "x", 1) == 1 ? "yes" : "no");
  if (writer >= 0) close(writer);
  close(fd);

  FILE *file = fopen(all, "r");
  size_t lines = 0, bytes = 0;
  while (file && fgets(once, sizeof once, file)) lines++, bytes += strlen(once);
  printf("lines: %zu of %zu bytes\n", lines, bytes / (lines ? lines : 1));
  // The stream stays, and is another file.
  file = file ? freopen(own, "re", file) : NULL;
  lines = 0;
  while (file && fgets(once, sizeof once, file)) lines++;
  printf("lines after freopen: %zu\n", lines);
  if (file) fclose(file);
}

static void closes_on_exec(const char *what, int fd) {
  printf("%s: %s\n", what, fd >= 0 && fcntl(fd, F_GETFD) & FD_CLOEXEC ? "closes" : "stays");
  if (fd >= 0) close(fd);
}

int main(int count, char **word) {
  if (count != 2) return 2;
  setvbuf(stdout, NULL, _IOFBF, 1 << 16);
  snprintf(own, sizeof own, "/proc/bc/%s/resources", word[1]);
  snprintf(own_folder, sizeof own_folder, "/proc/bc/%s", word[1]);
  snprintf(other, sizeof other, "/proc/bc/%d/resources", atoi(word[1]) + 1);

  opens("open", all, O_RDONLY);
  opens("open of bc/resources", "/proc/bc/resources", O_RDONLY);
  opens("open of its own", own, O_RDONLY);
  opens("open of another", other, O_RDONLY);
  opens("open of nothing", "/proc/bc/x", O_RDONLY);
  opens("open of a longer name", "/proc/user_beancounters2", O_RDONLY);
  opens("open below a file", "/proc/user_beancounters/x", O_RDONLY);
  opens("open to write", all, O_WRONLY);
  opens("open to read and write", all, O_RDWR);
  opens("open to cut", all, O_RDONLY | O_TRUNC);
  opens("open or make", all, O_RDONLY | O_CREAT);
  opens("open new", all, O_RDONLY | O_CREAT | O_EXCL);
  opens("open a directory", all, O_RDONLY | O_DIRECTORY);
  opens("open of another to write", other, O_WRONLY);
  opens("open of a folder", "/proc/bc", O_RDONLY | O_DIRECTORY);
  opens("open of a bad pointer", (const char *)16, O_RDONLY);
  streams("fopen", all, "r");
  streams("fopen to add", all, "a");
  streams("fopen to update", all, "r+");
  streams("fopen of another", other, "r");
  said("opendir of bc", opendir("/proc/bc") != NULL);
  said("opendir of a file", opendir(all) != NULL);
  said("opendir of another", opendir(other) != NULL);
  shows("stat", all);
  shows("stat of its own", own);
  shows("stat of bc", "/proc/bc");
  shows("stat of its folder", own_folder);
  shows("stat of another", other);
  agrees(all);
  agrees("/proc/meminfo");
  said("access", access(all, F_OK) == 0);
  said("access to read", access(own, R_OK) == 0);
  said("access to write", access(all, W_OK) == 0);
  said("access to run", access(all, R_OK | X_OK) == 0);
  said("access to a folder", access(own_folder, X_OK) == 0);
  said("access to list it", access(own_folder, R_OK) == 0);
  said("access to another", access(other, F_OK) == 0);
  said("faccessat", faccessat(AT_FDCWD, all, R_OK, AT_EACCESS) == 0);
  said("euidaccess", euidaccess(all, R_OK) == 0);
  char link[8];
  said("readlink", readlink(all, link, sizeof link) >= 0);
  said("readlink of another", readlink(other, link, sizeof link) >= 0);
  reads();
  closes_on_exec("open with O_CLOEXEC", open(all, O_RDONLY | O_CLOEXEC));
  closes_on_exec("open without", open(all, O_RDONLY));

  struct rlimit files = {.rlim_cur = 4, .rlim_max = 4096}; // one is free: the question's own
  fflush(stdout);
  for (int fd = 3; fd < 64; fd++) close(fd);
  setrlimit(RLIMIT_NOFILE, &files);
  opens("open with one number free", all, O_RDONLY);
  files.rlim_cur = 5;
  setrlimit(RLIMIT_NOFILE, &files);
  opens("open with two", all, O_RDONLY);
  fflush(stdout);
  return 0;
}
