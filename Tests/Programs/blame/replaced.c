// Refused after its program, or a library of it, has been replaced by another file.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) static int take_all(void) {
  int fd;
  do fd = open("/dev/null", O_RDONLY);
  while (fd >= 0);
  return fd;
}

static int replace(const char *path) {
  char other[512];
  snprintf(other, sizeof other, "%s.new", path);
  FILE *file = fopen(other, "w");
  if (!file || fclose(file)) return -1;
  return rename(other, path);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  if (!strcmp(argv[1], "program")) {
    if (replace(argv[0])) return 3;
    return take_all() != -1;
  }
  void *library = dlopen(argv[2], RTLD_NOW);
  int (*open_all)(void) = library ? (int (*)(void))dlsym(library, "plugin_open") : NULL;
  if (!open_all || replace(argv[2])) return 3;
  return open_all() != -1;
}
