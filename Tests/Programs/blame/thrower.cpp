// Runs out of files inside functions that throw: exceptions must find their way as ever.
#include <cstdio>
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <unistd.h>

struct guard {
  int &count;
  ~guard() { count++; }
};

__attribute__((noinline)) static void open_all(int depth, int &unwound) {
  guard g{unwound};
  if (depth > 0) {
    open_all(depth - 1, unwound);
    std::puts("not reached");
  }
  while (open("/dev/null", O_RDONLY) >= 0) {}
  throw std::runtime_error("refused");
}

int main() {
  int unwound = 0, caught = 0;
  for (int i = 0; i < 5; i++) {
    try {
      open_all(10, unwound);
    } catch (const std::exception &e) {
      if (std::string(e.what()) == "refused") caught++;
    }
  }
  std::printf("caught %d unwound %d\n", caught, unwound);
}
