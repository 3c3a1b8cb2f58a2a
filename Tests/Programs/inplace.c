// Mappings that replace others, as the JVM commits its heap: what each attempt came to, and what the kernel counts after it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MIB = 1 << 20, PAGE = 4096 };
static const int FIXED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

static long data_pages(void) {
  char text[256] = {0};
  int fd = open("/proc/self/statm", O_RDONLY);
  if (read(fd, text, sizeof text - 1) < 0) exit(9);
  close(fd);
  long pages[7];
  sscanf(text, "%ld %ld %ld %ld %ld %ld", pages, pages + 1, pages + 2, pages + 3, pages + 4, pages + 5);
  return pages[5];
}

static char *reserve(size_t n) { return mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); }

static void say(const char *what, void *got, void *wanted, long before) {
  int error = errno;
  printf("%s %s %ld\n", what, got == wanted ? "there" : got == MAP_FAILED ? strerrorname_np(error) : "elsewhere", (data_pages() - before) * PAGE / MIB);
  fflush(stdout);
}

static char *arena;
static void *commit(void *which) {
  char *at = arena + (intptr_t)which * 4 * MIB;
  return mmap(at, 4 * MIB, PROT_READ | PROT_WRITE, FIXED, -1, 0);
}

int main(void) {
  setvbuf(stdout, malloc(BUFSIZ), _IOLBF, BUFSIZ);
  const int rw = PROT_READ | PROT_WRITE;
  char *a = reserve(1024ul * MIB);
  long before = data_pages();
  errno = 7;
  void *got = mmap(a, 8 * MIB, rw, FIXED, -1, 0);
  printf("errno %d\n", errno);
  say("fits", got, a, before);
  memset(a, 1, 8 * MIB);
  say("too_much", mmap(a + 8 * MIB, 1000ul * MIB, rw, FIXED, -1, 0), a + 8 * MIB, before);
  printf("kept %d\n", a[5 * MIB]);
  // What counts already is not counted again, with no room left.
  say("rest", mmap(a + 8 * MIB, 40 * MIB, rw, FIXED, -1, 0), a + 8 * MIB, before);
  say("over_itself", mmap(a, 40 * MIB, rw, FIXED, -1, 0), a, before);
  printf("zeroed %d\n", a[5 * MIB]);
  say("half_new", mmap(a + 44 * MIB, 8 * MIB, rw, FIXED, -1, 0), a + 44 * MIB, before);
  say("half_too_much", mmap(a + 44 * MIB, 40 * MIB, rw, FIXED, -1, 0), a + 44 * MIB, before);
  say("given_back", mmap(a, 52 * MIB, PROT_NONE, FIXED | MAP_NORESERVE, -1, 0), a, before);
  // The page after a file's is its own, and offsets are kept.
  char name[] = "/tmp/bc-inplace-XXXXXX";
  int fd = mkstemp(name);
  unlink(name);
  char page[PAGE];
  for (int i = 0; i < 4; i++) {
    memset(page, 'a' + i, sizeof page);
    if (write(fd, page, sizeof page) < 0) return 9;
  }
  char *file = mmap(a + 60 * MIB, 2 * PAGE + 1, rw, MAP_PRIVATE | MAP_FIXED, fd, PAGE);
  printf("file %.1s %.1s\n", file, file + 2 * PAGE);
  say("unaligned", mmap(a + 1, PAGE, rw, FIXED, -1, 0), a, before);
  say("nowhere", mmap((void *)(intptr_t)-PAGE, 2 * PAGE, rw, FIXED, -1, 0), a, before);
  say("by_number", (void *)syscall(SYS_mmap, a, 1000l * MIB, rw, FIXED, -1, 0), a, before);
  arena = a + 100 * MIB;
  pthread_t threads[16];
  int refused = 0;
  void *result;
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 64 << 10);
  for (intptr_t i = 0; i < 16; i++)
    if ((errno = pthread_create(threads + i, &small, commit, (void *)i))) return perror("pthread_create"), 8;
  for (int i = 0; i < 16; i++) refused += (pthread_join(threads[i], &result), result == MAP_FAILED);
  printf("threads %d\n", refused);
  return 0;
}
