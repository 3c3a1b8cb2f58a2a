// A server that answers from files and forgets to close one of them: it runs until it has no descriptor left for the
// next request. The report of bcrun says in which function, and on which line, the file was opened.
//
//   cc -g -o /tmp/leaking-server examples/leaking-server.c
//   ./bcrun --numfile 40 -- /tmp/leaking-server
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct request {
  const char *path;
};

// The mistake: on a file that begins with a blank line the way back is taken before the file is closed.
static int first_line(const char *path, char *line, int size) {
  FILE *file = fopen(path, "r");
  if (!file) return -1;
  if (!fgets(line, size, file) || line[0] == '\n') return 0;
  fclose(file);
  return 1;
}

static int answer(struct request request) {
  char line[256];
  int found = first_line(request.path, line, sizeof line);
  if (found < 0) fprintf(stderr, "leaking-server: %s: %s\n", request.path, strerror(errno));
  return found;
}

int main(void) {
  struct request good = {"/etc/passwd"}, bad = {"/dev/null"};
  int refused = 0;
  for (int i = 0; i < 100 && refused < 3; i++)
    if (answer(i % 2 ? bad : good) < 0) refused++;
  printf("%s\n", refused ? "out of files" : "all answered");
  return refused != 0;
}
