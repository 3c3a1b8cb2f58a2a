// Empties its environment, then starts shells by system(3) and popen(3): they are members all the same.
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  clearenv();
  if (getenv("BC_SERVER")) return 1;
  printf("system: %s\n", system("test -n \"$BC_SERVER\"") == 0 ? "member" : "outsider");
  FILE *shell = popen("echo $BC_SERVER | wc -c", "r");
  int length = 0;
  if (shell && fscanf(shell, "%d", &length) == 1) printf("popen: %s\n", length > 1 ? "member" : "outsider");
  if (shell) pclose(shell);
  printf("own: %s\n", getenv("BC_SERVER") || getenv("LD_PRELOAD") ? "changed" : "empty");
  return 0;
}
