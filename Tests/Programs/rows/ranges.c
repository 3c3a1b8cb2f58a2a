// Locks, converts, cuts, merges and unlocks byte ranges at random, through several descriptors of two files, and closes some.
// After every step the cell of numflock must say what /proc/locks says. Exits 1 where it does not.
//   ranges SEED STEPS
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 2, DESCRIPTORS = 5 };

static struct bc_page *find_page(void) {
  struct bc_page *page = NULL;
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  while (maps && fgets(line, sizeof line, maps))
    if (strstr(line, "/memfd:beancounter")) page = (struct bc_page *)strtoul(line, NULL, 16);
  if (maps) fclose(maps);
  return page;
}

// OFD locks name no process: nobody else's are expected in these files.
static long records(const ino_t inodes[FILES]) {
  FILE *f = fopen("/proc/locks", "r");
  char line[256];
  long n = 0;
  while (f && fgets(line, sizeof line, f)) {
    char kind[16];
    int pid;
    unsigned long inode;
    if (sscanf(line, "%*d: %15s %*s %*s %d %*x:%*x:%lu", kind, &pid, &inode) != 3) continue;
    for (int i = 0; i < FILES; i++) n += inodes[i] == inode && (pid == getpid() || pid == -1);
  }
  if (f) fclose(f);
  return n;
}

static long charged(struct bc_cell *cell) {
  int64_t credit = bc_load(&cell->credit);
  return (long)(bc_load(&cell->granted) - (credit < 0 ? credit - bc_frozen() : credit)); // frozen while it is counted
}

int main(int count, char **word) {
  if (count != 3) return 2;
  srand((unsigned)atoi(word[1]));
  char name[FILES][64];
  ino_t inodes[FILES];
  int fds[DESCRIPTORS];
  for (int i = 0; i < DESCRIPTORS; i++) {
    struct stat info;
    snprintf(name[i % FILES], sizeof name[0], "/tmp/beancounter-ranges-%d-%d", getpid(), i % FILES);
    fds[i] = open(name[i % FILES], O_RDWR | O_CREAT, 0600);
    fstat(fds[i], &info);
    inodes[i % FILES] = info.st_ino;
  }
  struct bc_page *page = find_page();
  if (!page) return puts("no page: the library is not in here"), 1;
  struct bc_cell *cell = bc_page_cell(page, BC_NUMFLOCK);
  int wrong = 0;
  for (int step = 0; step < atoi(word[2]) && !wrong; step++) {
    int i = rand() % DESCRIPTORS, what = rand() % 16, result = 0;
    struct flock f = {.l_whence = SEEK_SET, .l_start = rand() % 12, .l_len = rand() % 8};
    f.l_type = (short[]){F_RDLCK, F_WRLCK, F_UNLCK}[rand() % 3];
    if (rand() % 4 == 0) f.l_whence = SEEK_CUR, lseek(fds[i], rand() % 5, SEEK_SET);
    if (what == 0) {
      close(fds[i]);
      fds[i] = open(name[i % FILES], O_RDWR);
    } else if (what == 1) {
      result = flock(fds[i], (rand() % 2 ? LOCK_SH : LOCK_UN) | LOCK_NB); // of a FLOCKED one the ranges go on
    } else if (what == 2) {
      lseek(fds[i], rand() % 12, SEEK_SET);
      result = lockf(fds[i], rand() % 2 ? F_TLOCK : F_ULOCK, rand() % 9 - 4);
    } else {
      result = fcntl(fds[i], what < 4 ? F_OFD_SETLK : F_SETLK, &f);
    }
    long held = charged(cell), truth = records(inodes);
    // The server may be in the midst of a count at this moment, and has more than one word to write then.
    for (int turn = 0; held != truth && turn < 100; turn++) usleep(1000), held = charged(cell);
    if (held != truth || bc_pending(cell)) {
      printf("step %d: %d (%s) kind %d, type %d at %ld+%ld on %d: %ld charged, %ld held, %d pending\n", step, result,
             result ? strerror(errno) : "done", what, f.l_type, (long)f.l_start, (long)f.l_len, i, held, truth, bc_pending(cell));
      wrong = 1;
    }
  }
  for (int i = 0; i < FILES; i++) unlink(name[i]);
  for (int i = 0; i < DESCRIPTORS; i++) close(fds[i]);
  for (int turn = 0; charged(cell) && turn < 100; turn++) usleep(1000);
  if (!wrong && charged(cell)) wrong = puts("something stays charged");
  if (!wrong) puts("exact");
  return wrong;
}
