// From a destructor while an exception is in flight: the stack goes through the C++ runtime's unwinder.
#include "probe.h"

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace shop {

template <typename T>
struct Basket {
  T item;
  __attribute__((noinline)) ~Basket() { probe(); }
};

class Till {
 public:
  __attribute__((noinline)) int charge(const std::string &who, std::vector<int> prices) {
    Basket<int> basket{prices[0]};
    if (who.size() < 100) throw std::runtime_error("no money: " + who);
    return basket.item;
  }
};

}  // namespace shop

__attribute__((noinline)) static int sell() {
  shop::Till till;
  try {
    return till.charge("me", {1, 2, 3});
  } catch (const std::runtime_error &e) {
    return e.what()[0] == 'n' ? 0 : 1;
  }
}

int main() {
  volatile int got = sell();
  return got;
}
