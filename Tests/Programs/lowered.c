// Holds memory of one kind, and when a line comes (its bound has been lowered) gives some back and takes it again at once, many
// times. argv: map, heap or break. Prints KiB of VmData, a figure that the kernel keeps for RLIMIT_DATA.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// Blocks that malloc does not put aside when they are freed (tcache).
enum { MIB = 1 << 20, HELD = 100, BLOCK = 2000, BLOCKS = MIB / BLOCK };
static char *pieces[HELD];
static void *blocks[HELD * BLOCKS];
static const char *what;

static long data(void) {
  char text[4096];
  int fd = open("/proc/self/status", O_RDONLY);
  long n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = 0;
  char *at = strstr(text, "VmData:");
  return at ? atol(at + 7) : -1;
}

// A buffer of stdio's would keep the heap from being given back.
static int line(void) {
  char c = 0;
  while (read(0, &c, 1) == 1 && c != '\n') {}
  return c == '\n';
}

// One MiB, the i-th.
static int take(int i) {
  if (!strcmp(what, "map")) {
    pieces[i] = mmap(0, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pieces[i] != MAP_FAILED;
  }
  if (!strcmp(what, "break")) return sbrk(MIB) != (void *)-1;
  for (int k = 0; k < BLOCKS; k++)
    if (!(blocks[i * BLOCKS + k] = malloc(BLOCK))) {
      while (k-- > 0) free(blocks[i * BLOCKS + k]);
      return 0;
    }
  return 1;
}

static void give(int i) {
  if (!strcmp(what, "map")) munmap(pieces[i], MIB);
  else if (!strcmp(what, "break")) {
    char *before = sbrk(-MIB);
    if ((char *)sbrk(0) != before - MIB) printf("not lowered\n");
  } else
    for (int k = BLOCKS; k-- > 0;) free(blocks[i * BLOCKS + k]);
}

int main(int argc, char **argv) {
  what = argc > 1 ? argv[1] : "map";
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  printf("%s\n", what); // stdio's buffer comes before what is to be given back
  int n = 0, times = strcmp(what, "heap") ? 100 : 20; // a free gives back a page at a time
  while (n < HELD && take(n)) n++;
  printf("held %d\n", n);
  if (!line()) return 1;
  // 30 of the 100 and back, as often as makes some of it fall between two looks of the server.
  long most = 0;
  int again = 0;
  for (int round = 0; round < times; round++) {
    while (n > 70) give(--n);
    long given = data();
    while (n < HELD && take(n)) n++;
    again = n > again ? n : again;
    long more = data() - given;
    most = more > most ? more : most;
  }
  printf("again %d\ngrown %ld\n", again, most);
  // Within the bound there is room again, to the bound.
  most = 0;
  int least = HELD;
  for (int round = 0; round < times; round++) {
    while (n > 20) give(--n);
    while (n < HELD && take(n)) n++;
    least = n < least ? n : least;
    most = data() > most ? data() : most;
  }
  printf("least %d\nmost %ld\n", least, most);
  if (!line()) return 1;
  while (n < HELD && take(n)) n++;
  printf("lifted %d\n", n);
  return 0;
}
