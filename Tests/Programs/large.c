// Needs SIZE MiB before main: of its own or, with -DLIBRARY, of the library that it is linked with.
#include <stdio.h>
#if defined(LIBRARY)
char *large(void);
#else
static char room[(size_t)SIZE << 20];
#if defined(SHARED)
char *large(void);
#else
static
#endif
char *large(void) { return room; }
#endif
#if !defined(SHARED)
int main(void) {
  *(volatile char *)large() = 1;
  puts("here");
  return 0;
}
#endif
