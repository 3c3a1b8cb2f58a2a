// A program that does nothing wrong, beside those that do:  prey FILES SECONDS
// Holds FILES files, and opens and closes, makes and reaps, all the time; each must go well. Prints: prey rounds N
#include "hostile.h"

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "prey FILES SECONDS\n"), 2;
  double until = seconds_now() + atof(argv[2]);
  long rounds = 0;
  for (int i = 0; i < atoi(argv[1]); i++)
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0) give_up("prey: hold");
  while (seconds_now() < until) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) give_up("prey: open");
    if (other < 0) give_up("prey: socket");
    close(fd);
    close(other);
    char *memory = malloc(1 << 22);
    if (!memory) give_up("prey: malloc");
    memset(memory, 1, 1 << 22);
    free(memory);
    pid_t child = fork();
    if (child < 0) give_up("prey: fork");
    if (child == 0) {
      int own = open("/dev/null", O_RDONLY | O_CLOEXEC);
      _exit(own < 0);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) return fprintf(stderr, "prey: its child was refused\n"), 1;
    rounds++;
  }
  printf("prey rounds %ld\n", rounds);
  return 0;
}
