import Glibc

/// What the server said no to, or that it could not be asked: bcctl prints `bcctl: message` and
/// exits 1. Whatever came from elsewhere is made visible when it is printed.
struct Refused: Error, Equatable {
  let message: String

  init(_ message: String) { self.message = message }
}

/// Writes all of `text` to stdout, at once: what follows events is read line by line.
func output(_ text: String) throws(Refused) { try write(Array(text.utf8), to: 1) }

func output(_ bytes: [UInt8]) throws(Refused) { try write(bytes, to: 1) }

func write(_ bytes: [UInt8], to fd: Int32) throws(Refused) {
  var rest = bytes[...]
  while !rest.isEmpty {
    let n = rest.withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
    if n < 0, errno == EINTR { continue }
    guard n > 0 else { throw Refused("cannot write: \(String(cString: strerror(errno)))") }
    rest = rest.dropFirst(n)
  }
}

/// Ends the program with a message on stderr, if there is one to give.
func leave(_ code: Int32, _ message: String) -> Never {
  try? write(Array(message.utf8), to: 2)
  exit(code)
}
