#include <fcntl.h>
int plugin_open(void) {
  int fd;
  do fd = open("/dev/null", O_RDONLY);
  while (fd >= 0);
  return fd;
}
