// Objects with constructors and destructors in the order of C++, a thread_local with a destructor, and an exception thrown
// out of a signal handler.
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

struct Opened {
  int fd = open("/dev/null", O_RDONLY);
  std::vector<std::string> words = std::vector<std::string>(1000, std::string(100, 'x'));
  ~Opened() {
    int more = open("/dev/null", O_RDONLY);
    dprintf(1, "gone %d, another is %d\n", fd, more);
    close(more), close(fd);
  }
};
static Opened first;
static std::map<int, Opened> some;
thread_local Opened mine;

static volatile int *volatile nowhere;
static void thrower(int) { throw 42; }

int main() {
  dprintf(1, "static %d\n", first.fd);
  some[1];
  for (int i = 0; i < 50; i++) std::thread([] { mine.words.push_back("y"); }).join();
  int caught = 0;
  struct sigaction action = {};
  action.sa_handler = thrower;
  action.sa_flags = SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
  for (int i = 0; i < 100; i++) try { caught += *nowhere; } catch (int n) { caught += n == 42; }
  std::ifstream file("/etc/hostname");
  std::ofstream none("/dev/full");
  none << "x" << std::flush;
  dprintf(1, "caught %d, opened %d, written %d\n", caught, file.is_open(), none.good());
}
