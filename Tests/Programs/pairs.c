// Pairs of calls for counting instructions. argv: m (malloc+free) or o (open+close), how many.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **word) {
  if (count != 3) return 2;
  int n = atoi(word[2]);
  for (int i = 0; i < n; i++) {
    if (word[1][0] == 'm') {
      void *volatile p = malloc(64);
      free(p);
    } else {
      close(open("/dev/null", O_RDONLY));
    }
  }
  return 0;
}
