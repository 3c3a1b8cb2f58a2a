import Glibc

/// Opens files until it is refused one, from a closure.
struct Cache<Element> {
  var held: [Element] = []
  @inline(never) mutating func load(_ make: () -> Element?) {
    while let one = make() { held.append(one) }
  }
}

final class Server {
  var cache = Cache<Int32>()
  @inline(never) func serve() {
    cache.load {
      let file = open("/dev/null", O_RDONLY)
      return file < 0 ? nil : file
    }
  }
}

@main struct Program {
  static func main() { Server().serve() }
}
