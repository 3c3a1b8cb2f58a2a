// Two mistakes that no ordinary run shows, for memory and files are there: an allocation that nobody checks, and a file that
// stays open when something else fails. It sums up the amounts in a file, entry by entry.
//
//   cc -g -o /tmp/careless examples/careless.c
//   ./bcrun --torture all -- /tmp/careless
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  char name[32];
  long amount;
};

// The first mistake: without memory this is null, and the next line writes through it.
static struct entry *new_entry(const char *name, long amount) {
  struct entry *entry = malloc(sizeof *entry);
  strncpy(entry->name, name, sizeof entry->name - 1);
  entry->amount = amount;
  return entry;
}

// The second: where the copy cannot be opened, the file that it is a copy of is never closed.
static int copy(const char *from, const char *to) {
  FILE *in = fopen(from, "r");
  if (!in) return -1;
  FILE *out = fopen(to, "w");
  if (!out) return -1;
  for (int c; (c = getc(in)) != EOF;) putc(c, out);
  fclose(out);
  return fclose(in);
}

int main(void) {
  if (copy("/etc/hostname", "/dev/null") < 0) puts("not copied, going on without");
  struct entry *one = new_entry("rent", 700), *two = new_entry("bread", 3);
  printf("%ld\n", one->amount + two->amount);
  free(one);
  free(two);
  return 0;
}
