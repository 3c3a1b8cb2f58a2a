#define _GNU_SOURCE
#include "libraries.h"

#include "cwitness.h"

#include <dlfcn.h>
#include <pthread.h>

struct libunwind unwind;
struct libdw dw;

static const char *missing;

#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x

#if defined(__x86_64__)
#define LIBUNWIND_FILE "libunwind-x86_64.so.8"
#elif defined(__aarch64__)
#define LIBUNWIND_FILE "libunwind-aarch64.so.8"
#endif

// Local: neither library's names may stand in for those of this program.
static void load(void) {
  void *u = dlopen(LIBUNWIND_FILE, RTLD_LAZY | RTLD_LOCAL);
  void *d = u ? dlopen("libdw.so.1", RTLD_LAZY | RTLD_LOCAL) : NULL;
  if (!u || !d) {
    missing = u ? "libdw.so.1 (Debian: libdw1)" : LIBUNWIND_FILE " (Debian: libunwind8)";
    return;
  }
  void *e = dlopen("libelf.so.1", RTLD_LAZY | RTLD_LOCAL); // needed by libdw, so loaded already
#define FIND(name) \
  if (!(unwind.name = (__typeof__(unwind.name))dlsym(u, TEXT(UNW_OBJ(name))))) \
    missing = LIBUNWIND_FILE " has no " #name;
  LIBUNWIND(FIND)
#undef FIND
#define FIND(name) \
  if (!(dw.name = (__typeof__(dw.name))dlsym(d, #name)) && !(e && (dw.name = (__typeof__(dw.name))dlsym(e, #name)))) \
    missing = "libdw.so.1 has no " #name;
  LIBDW(FIND)
#undef FIND
  if (!missing && dw.elf_version(EV_CURRENT) == EV_NONE) missing = "libelf.so.1 of this version of ELF";
}

const char *witness_missing(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  return missing;
}
