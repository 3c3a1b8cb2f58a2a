// Loads the plug-ins that it is given in every way there is, looks functions up, and wraps one itself.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int wrapped;
int openat(int at, const char *path, int flags, ...) { // an interposer in the program itself, by way of RTLD_NEXT
  int (*next)(int, const char *, int, ...) = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat");
  wrapped++;
  return next(at, path, flags, 0);
}

static void ran(const char *how, void *handle) {
  int (*run)(void) = handle ? (int (*)(void))dlsym(handle, "run") : NULL;
  int result = run ? run() : -1;
  printf("%s %d closed %d\n", how, result, handle ? dlclose(handle) : -1);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    ran("now", dlopen(argv[i], RTLD_NOW));
    fflush(stdout);
    if (i > 1) continue; // one that brings its own malloc must not be bound to the rest
    ran("lazy", dlopen(argv[i], RTLD_LAZY | RTLD_GLOBAL));
    ran("deep", dlopen(argv[i], RTLD_NOW | RTLD_DEEPBIND));
    ran("a namespace of its own", dlmopen(LM_ID_NEWLM, argv[i], RTLD_NOW));
    fflush(stdout);
  }
  close(openat(AT_FDCWD, "/dev/null", O_RDONLY));
  void *none = dlopen("libno-such.so", RTLD_NOW);
  char *error = dlerror();
  printf("wrapped %d missing %d %s\n", wrapped, none != NULL, error);
  printf("again %d default %d old %d\n", dlerror() != NULL, dlsym(RTLD_DEFAULT, "malloc") != NULL, dlvsym(RTLD_DEFAULT, "timer_create", "GLIBC_2.2.5") != NULL);
  printf("none %d\n", dlsym(RTLD_DEFAULT, "no_such_function") != NULL);
}
