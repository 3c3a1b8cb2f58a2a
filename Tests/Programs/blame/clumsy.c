// Copes with the first refusal, leaks at the second, and dies of the third.
#include <stdio.h>
#include <sys/resource.h>

int main(void) {
  struct rlimit no_core = {0, 0};
  char line[16];
  setrlimit(RLIMIT_CORE, &no_core);
  FILE *a = fopen("/etc/passwd", "r");
  if (!a) return 3;
  FILE *b = fopen("/etc/group", "r"); // line: leaks
  if (!b) return 4;
  FILE *c = fopen("/etc/hosts", "r"); // line: crashes
  if (!fgets(line, sizeof line, c)) line[0] = 0;
  fclose(c);
  fclose(b);
  fclose(a);
  return 0;
}
