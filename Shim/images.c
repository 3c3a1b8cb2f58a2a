#define _GNU_SOURCE
#include "images.h"

#include "member.h"
#include "raw.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t known[BC_KNOWN];
static uint32_t known_count;

void images_learn(struct bc_page *page) {
  uint32_t now = __atomic_load_n(&page->known_count, __ATOMIC_ACQUIRE);
  if (__builtin_expect(now == known_count, 1)) return;
  for (unsigned i = 0; i < BC_KNOWN; i++) known[i] = __atomic_load_n(&page->known[i], __ATOMIC_RELAXED);
  known_count = now;
}

bool image_known(uint64_t key) {
  for (unsigned i = 0; key && i < BC_KNOWN; i++)
    if (known[i] == key) return true;
  return false;
}

static uint64_t mixed(uint64_t sum, uint64_t word) {
  sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
  return sum ^ sum >> 29;
}

// A file that is replaced, written to, or given another mode is another one (st_ctime).
static uint64_t key_of(const char *path) {
  struct stat s;
  if (RAW(SYS_newfstatat, AT_FDCWD, path, &s, 0) < 0 || !S_ISREG(s.st_mode)) return 0;
  uint64_t sum = mixed(mixed(s.st_dev, s.st_ino), (uint64_t)s.st_size);
  return mixed(mixed(sum, (uint64_t)s.st_ctim.tv_sec), (uint64_t)s.st_ctim.tv_nsec) | 1;
}

// The first of that name along PATH: that it may not be run makes it another file than the one that was.
static uint64_t key_along_path(const char *name) {
  const char *folder = getenv("PATH");
  size_t n = strlen(name);
  char path[1024];
  while (folder && *folder) {
    const char *end = strchrnul(folder, ':');
    size_t length = (size_t)(end - folder);
    if (folder[0] != '/' || length + n + 2 > sizeof path) return 0;
    memcpy(path, folder, length);
    path[length] = '/';
    memcpy(path + length + 1, name, n + 1);
    uint64_t key = key_of(path);
    if (key) return key;
    folder = *end ? end + 1 : NULL;
  }
  return 0;
}

uint64_t image_key(const struct image *image) {
  const char *path = image->path;
  if (!path || !readable(path) || !environment_is_plain(image->env)) return 0;
  if (path[0] == '/') return key_of(path);
  return image->searched && path[0] && !strchr(path, '/') ? key_along_path(path) : 0;
}
