#define _GNU_SOURCE
#include "cwitness.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef char *demangler(const char *mangled, char *buffer, size_t *length, int *status);

enum { MANGLED_MOST = 1024, REFERENCES_MOST = 16, PACK_WEIGHT = 4 };

// A few bytes of name can stand for terabytes: a substitution may stand for one that stands for one … Each reference
// at most doubles what there is, so a name with few of them stays small. One with more keeps its mangled form.
static bool may_explode(const char *name, size_t length) {
  unsigned references = 0;
  for (size_t i = 0; i < length; i++) {
    size_t end = i + 1;
    if (name[i] == 'S' || name[i] == 'T') {
      while (isdigit((unsigned char)name[end]) || isupper((unsigned char)name[end])) end++;
      references += name[end] == '_';
    } else if ((name[i] == 'D' || name[i] == 's') && name[i + 1] == 'p') {
      references += PACK_WEIGHT;
    }
  }
  return references > REFERENCES_MOST;
}

bool witness_demangle(const char *mangled, char *to, size_t size) {
  static demangler *demangle;
  size_t length = strnlen(mangled, MANGLED_MOST);
  if (strncmp(mangled, "_Z", 2) || length == MANGLED_MOST || may_explode(mangled, length)) return false;
  if (!demangle) demangle = (demangler *)dlsym(RTLD_DEFAULT, "__cxa_demangle");
  if (!demangle) {
    void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL);
    demangle = library ? (demangler *)dlsym(library, "__cxa_demangle") : NULL;
  }
  int status = -1;
  char *text = demangle ? demangle(mangled, NULL, NULL, &status) : NULL;
  bool fits = text && status == 0 && strlen(text) < size;
  if (fits) strcpy(to, text);
  free(text);
  return fits;
}
