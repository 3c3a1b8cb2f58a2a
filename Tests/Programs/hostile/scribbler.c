// A member that writes over its whole page, all the time, while it goes on obtaining things:  scribbler SEED SECONDS
// Prints: scribbled N opened N refused N
#include "hostile.h"

#include <pthread.h>

static _Atomic bool over;
static _Atomic long scribbled;
static struct bc_page *page;
static uint64_t seed;

static bool find_page(void) {
  char line[512];
  FILE *maps = fopen("/proc/self/maps", "re");
  while (maps && fgets(line, sizeof line, maps)) {
    unsigned long start, end;
    if (!strstr(line, "/memfd:beancounter") || sscanf(line, "%lx-%lx", &start, &end) != 2) continue;
    page = (struct bc_page *)start;
  }
  if (maps) fclose(maps);
  return page != NULL;
}

static void *scribble(void *unused) {
  static const int64_t words[] = {0, 1, -1, INT64_MAX, INT64_MIN, INT64_MIN / 2, INT64_MIN / 2 - 1, INT64_MAX / 2, (int64_t)1 << 62, 1 << 20, -(1 << 20)};
  uint64_t state = seed;
  while (!over) {
    size_t at = draw(&state) % (BC_PAGE_SIZE / 8);
    int64_t word = draw(&state) % 2 ? (int64_t)draw(&state) : words[draw(&state) % (sizeof words / sizeof *words)];
    if (draw(&state) % 4 == 0) { // children that are none of ours
      bc_exchange32(bc_page_note(page, (unsigned)draw(&state)), (int32_t)(draw(&state) % 70000) - 8);
      continue;
    }
    bc_store((int64_t *)page + at, word);
    if (scribbled++ % 64 == 0) usleep(10);
  }
  return unused;
}

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "scribbler SEED SECONDS\n"), 2;
  seed = strtoull(argv[1], NULL, 10);
  double until = seconds_now() + atof(argv[2]);
  long opened = 0, refused = 0;
  close(open("/dev/null", O_RDONLY));
  if (!find_page()) return fprintf(stderr, "scribbler: no page\n"), 2;
  pthread_t thread;
  if (pthread_create(&thread, NULL, scribble, NULL)) return 2;
  while (seconds_now() < until) {
    int fds[8], n = 0;
    for (; n < 8; n++)
      if ((fds[n] = n % 2 ? socket(AF_UNIX, SOCK_STREAM, 0) : open("/dev/null", O_RDONLY)) < 0) break;
    opened += n;
    refused += n < 8;
    while (n > 0) close(fds[--n]);
    pid_t child = fork();
    if (child == 0) _exit(0);
    if (child > 0) waitpid(child, NULL, 0);
  }
  over = true;
  pthread_join(thread, NULL);
  printf("scribbled %ld opened %ld refused %ld\n", scribbled, opened, refused);
  return 0;
}
