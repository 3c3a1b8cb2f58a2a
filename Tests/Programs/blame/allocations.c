// Obtains memory in every way, about 1000 bytes each, and says which of them it got.
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void *volatile keep, *volatile none; // volatile: gcc makes a malloc of the realloc of a null that it knows
static char text[512];
static int at;

static void say(const char *call, int got) { at += snprintf(text + at, sizeof text - (size_t)at, "%s %c\n", call, got ? '+' : '-'); }

int main(void) {
  void *p = NULL;
  say("malloc", (keep = malloc(1000)) != NULL);
  say("calloc", (keep = calloc(10, 1000)) != NULL);
  say("realloc", (keep = realloc(none, 1000)) != NULL);
  say("reallocarray", (keep = reallocarray(none, 1, 1000)) != NULL);
  say("posix_memalign", posix_memalign(&p, 64, 1000) == 0);
  say("aligned_alloc", (keep = aligned_alloc(64, 10000)) != NULL);
  say("memalign", (keep = memalign(64, 1000)) != NULL);
  say("mmap", mmap(NULL, 1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
  return write(1, text, (size_t)at) != at;
}
