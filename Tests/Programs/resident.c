// Grows private memory and touches it, or does not. argv: what to do, MiB for some. Prints pages.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

static long pages_of(const char *path, const char *key) {
  static char text[4096];
  int fd = open(path, O_RDONLY);
  long n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = 0;
  char *at = strstr(text, key);
  return at ? atol(at + strlen(key)) / 4 : -1;
}

static long resident(const char *key) { return pages_of("/proc/self/smaps_rollup", key); }

static char *piece(int touch) {
  char *at = mmap(0, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return NULL;
  if (touch) memset(at, 1, MIB);
  return at;
}

static int fill(char **pieces, int most) {
  int n = 0;
  while (n < most && (pieces[n] = piece(1))) n++;
  return n;
}

// To the refusal, half of it back, and to the refusal again.
static void grow(void) {
  static char *pieces[4096];
  int n = fill(pieces, 4096);
  printf("first %d\nresident %ld\n", n, resident("\nRss:"));
  for (int i = 0; i < n / 2; i++) munmap(pieces[i], MIB);
  printf("again %d\n", fill(pieces, 4096));
}

static void heap(void) {
  int n = 0;
  printf("begins with %ld\n", resident("\nRss:")); // what looking and saying so take is there before
  for (char *at; n < 1 << 22 && (at = malloc(1000)); n++) memset(at, 1, 1000);
  printf("resident %ld\n", resident("\nRss:"));
}

// What a fork leaves to both is there once.
static void forked(int mine, int more) {
  static char *pieces[4096];
  int n = fill(pieces, mine), go[2];
  if (pipe(go)) exit(1);
  pid_t child = fork();
  if (child == 0) {
    char c;
    close(go[1]);
    _exit(read(go[0], &c, 1) != 0);
  }
  printf("before %d\nafter %d\n", n, fill(pieces, more));
  close(go[1]);
  int status;
  printf("child %d\n", waitpid(child, &status, 0) == child ? status : -1);
}

// One that needs pages to be counted, and then, when it has gone, small steps that do not.
static void back(int reserved, int steps) {
  if (fork() == 0) {
    while (reserved-- > 0 && piece(0)) {}
    _exit(reserved >= 0);
  }
  int status, n = 0;
  wait(&status);
  for (; n < steps; n++)
    if (mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) break;
  printf("child %d\nsteps %d\n", status, n);
}

// Two that grow side by side; each stays until both were refused.
static void pair(void) {
  static char *pieces[4096];
  int done[2], go[2];
  if (pipe(done) || pipe(go)) exit(1);
  for (int i = 0; i < 2; i++)
    if (fork() == 0) {
      int n = fill(pieces, 4096);
      char c;
      close(go[1]);
      if (write(done[1], "x", 1) != 1 || read(go[0], &c, 1) != 0) _exit(1);
      dprintf(1, "%s %d\n", i ? "right" : "left", n);
      dprintf(1, "%s %ld\n", i ? "rightpages" : "leftpages", resident("\nPss_Anon:"));
      _exit(0);
    }
  char c;
  for (int i = 0; i < 2; i++)
    if (read(done[0], &c, 1) != 1) exit(1);
  close(go[1]);
  while (wait(NULL) > 0) {}
}

// One that has filled memory and sleeps, and another that grows then; what the first has is as it was.
static void sleeper(int mine, int more) {
  static char *pieces[4096];
  int go[2], ready[2];
  if (pipe(go) || pipe(ready)) exit(1);
  pid_t child = fork();
  if (child == 0) {
    close(go[1]);
    int n = fill(pieces, mine), wrong = 0;
    for (int i = 0; i < n; i++) memset(pieces[i], i + 1, MIB);
    char c;
    if (write(ready[1], "x", 1) != 1 || read(go[0], &c, 1) != 0) _exit(1);
    for (int i = 0; i < n; i++)
      for (int at = 0; at < MIB; at++) wrong += pieces[i][at] != (char)(i + 1);
    printf("slept %d\nwrong %d\n", n, wrong);
    exit(0);
  }
  char c;
  if (read(ready[0], &c, 1) != 1) exit(1);
  usleep(700000);
  printf("grown %d\n", fill(pieces, more));
  close(go[1]);
  int status;
  printf("child %d\n", waitpid(child, &status, 0) == child ? status : -1);
}

int main(int argc, char **argv) {
  static char buffer[BUFSIZ]; // not one that has to be asked for at the limit
  setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
  const char *what = argc > 1 ? argv[1] : "";
  int a = argc > 2 ? atoi(argv[2]) : 0, b = argc > 3 ? atoi(argv[3]) : 0;
  if (!strcmp(what, "grow")) grow();
  else if (!strcmp(what, "heap")) heap();
  else if (!strcmp(what, "fork")) forked(a, b);
  else if (!strcmp(what, "back")) back(a, b);
  else if (!strcmp(what, "pair")) pair();
  else if (!strcmp(what, "sleeper")) sleeper(a, b);
  else if (!strcmp(what, "steps")) { // one MiB for each line that is read
    for (char line[16]; fgets(line, sizeof line, stdin);) printf("%s\n", piece(1) ? "got" : "refused");
  } else if (!strcmp(what, "reserve")) {
    int n = 0;
    for (char *at; n < a && (at = piece(0)); n++) *at = 1;
    printf("reserved %d\nresident %ld\n", n, resident("\nRss:"));
  } else return 2;
  return 0;
}
