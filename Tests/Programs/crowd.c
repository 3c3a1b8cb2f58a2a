// A crowd of short-lived members:  crowd MEMBERS CHARGES
// Starts MEMBERS children at once, which are there together; each obtains something, so that it joins, and then goes on asking
// the server about CHARGES charges, one after another, without the shim's credit in between (a question by hand: what the server
// can bear is wanted here, not what the shim spares it). Says `ready`, waits for a line on the standard input, then starts
// them off together. Prints: members N charges N seconds S    (seconds: from the start to the last answer)
#include "hostile/hostile.h"

#include <sys/prctl.h>

static struct { _Atomic long ready, done, failed; } *seen;

static void ask(const char *server, const uint64_t token[2], long charges) {
  struct bc_request r = {
      .magic = BC_WIRE_MAGIC, .kind = BC_CHARGE, .resource = BC_NUMSIGINFO, .severity = BC_HARD, .amount = 1,
      .token = {token[0], token[1]}, .thread = getpid(), .parent = getppid(), .call = "crowd",
  };
  for (long i = 0; i < charges; i++) {
    struct bc_answer answer;
    int fd = connected(server);
    r.socket = fd;
    if (send(fd, &r, sizeof r, MSG_NOSIGNAL) != (ssize_t)sizeof r || recv(fd, &answer, sizeof answer, 0) != (ssize_t)sizeof answer || answer.error)
      seen->failed++;
    close(fd);
  }
}

int main(int argc, char **argv) {
  const char *server = getenv("BC_SERVER"), *hex = getenv("BC_TOKEN");
  if (argc != 3 || !server || !hex) return fprintf(stderr, "crowd MEMBERS CHARGES, in a beancounter\n"), 2;
  long members = atol(argv[1]), charges = atol(argv[2]);
  uint64_t token[2];
  read_token(hex, token);
  seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int gate[2]; // they sleep in a read of it: thousands that look at the clock are a load of their own
  char line[16];
  if (pipe(gate) < 0) give_up("crowd: pipe");
  for (long i = 0; i < members; i++) {
    pid_t child = fork();
    if (child < 0) give_up("crowd: fork");
    if (child > 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0) seen->failed++;
    seen->ready++;
    close(gate[1]);
    if (read(gate[0], line, 1) != 0) give_up("crowd: read");
    ask(server, token, charges);
    seen->done++;
    _exit(0);
  }
  while (seen->ready < members) usleep(10000);
  printf("ready\n");
  fflush(stdout);
  if (!fgets(line, sizeof line, stdin)) return 2;
  double start = seconds_now();
  close(gate[1]);
  while (waitpid(-1, NULL, 0) > 0) {}
  double end = seconds_now();
  printf("members %ld charges %ld seconds %.3f\n", members, members * charges, end - start);
  return seen->failed != 0 || seen->done != members;
}
