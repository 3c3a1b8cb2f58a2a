// A storm of short programs, as builds and shell scripts make: storm WORKERS EACH. Every worker forks and runs /bin/true
// EACH times, one after another.
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int work(int each) {
  char *words[] = {"true", NULL};
  for (int i = 0; i < each; i++) {
    pid_t child = fork();
    if (child < 0) return perror("storm: fork"), 1;
    if (child == 0) {
      execv("/bin/true", words);
      _exit(127);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) return fprintf(stderr, "storm: status %x\n", status), 1;
  }
  return 0;
}

int main(int count, char **word) {
  if (count != 3) return fprintf(stderr, "storm: give WORKERS and EACH\n"), 2;
  int workers = atoi(word[1]), each = atoi(word[2]), failed = 0, status;
  for (int i = 0; i < workers; i++) {
    pid_t child = fork();
    if (child < 0) return perror("storm: fork"), 1;
    if (child == 0) return work(each);
  }
  while (wait(&status) > 0) failed |= status != 0;
  return failed;
}
