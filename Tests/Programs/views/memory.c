// How much memory there is, asked in every way that libc has: `WAY ALL LEFT`, in kB.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static char room[16384];

static long value(const char *name) {
  const char *at = strstr(room, name);
  return at ? atol(at + strlen(name)) : -1;
}

static void said(const char *way) { printf("%s %ld %ld\n", way, value("MemTotal:"), value("MemAvailable:")); }

static void stream(const char *way, FILE *file) {
  memset(room, 0, sizeof room);
  if (!file || fread(room, 1, sizeof room - 1, file) == 0) room[0] = 0;
  said(way);
}

int main(void) {
  static char out[4096];
  setvbuf(stdout, out, _IOFBF, sizeof out);
  struct sysinfo info;
  sysinfo(&info);
  printf("sysinfo %lu %lu\n", info.totalram * info.mem_unit / 1024, info.freeram * info.mem_unit / 1024);
  printf("sysconf %ld %ld\n", sysconf(_SC_PHYS_PAGES) * 4, sysconf(_SC_AVPHYS_PAGES) * 4);
  printf("get_phys_pages %ld %ld\n", get_phys_pages() * 4, get_avphys_pages() * 4);
  int fd = open("/proc/meminfo", O_RDONLY);
  if (fd != 3 || read(fd, room, sizeof room - 1) <= 0) return 1;
  said("open");
  if (fcntl(fd, F_GETFD) & FD_CLOEXEC) puts("open closes on exec");
  FILE *file = fopen("/proc/meminfo", "re");
  stream("fopen", file);
  if (!(fcntl(fileno(file), F_GETFD) & FD_CLOEXEC)) puts("fopen with e stays on exec");
  stream("freopen", freopen("/proc/meminfo", "r", file));
  return 0;
}
