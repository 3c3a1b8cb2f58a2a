// Two mistakes that no ordinary run shows, for memory and files are there: an allocation that nobody checks, and a file that
// stays open when something else fails. It adds up what was spent.
//
//   cc -g -o /tmp/careless examples/careless.c
//   ./bcrun --torture all -- /tmp/careless
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  struct entry *next;
  long amount;
  char name[32];
};

static struct entry *entries;

// The first mistake: without memory this is null, and the next line writes through it.
static void add(const char *name, long amount) {
  struct entry *entry = malloc(sizeof *entry);
  strncpy(entry->name, name, sizeof entry->name - 1);
  entry->amount = amount;
  entry->next = entries;
  entries = entry;
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
  const char *names[] = {"rent", "bread"};
  const long amounts[] = {700, 3};
  for (int i = 0; i < 2; i++) add(names[i], amounts[i]);
  long sum = 0;
  for (struct entry *entry = entries; entry; entry = entry->next) sum += entry->amount;
  printf("%ld\n", sum);
  return 0;
}
