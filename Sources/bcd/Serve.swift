import CLinux
import Command
import Recount
import Server

private let help = """
  bcd [--socket PATH] [--state FILE]

  Keeps beancounters that many commands share, in the foreground. bcrun --server PATH runs a command in a new one, bcctl
  makes, changes and shows them.

    --socket PATH   where it listens; otherwise $XDG_RUNTIME_DIR/beancounter/bcd.sock, or a directory of yours under the
                    temporary directory
    --state FILE    what survives the server: bounds, maxheld, failcnt, denials; otherwise bcd.db beside the socket
    --help, --version

  A socket from the service manager (sd_listen_fds) is used, and READY=1 is sent. SIGTERM ends it; members that run on find
  the next server at the same socket.

  """

/// The server that many share, until SIGTERM.
func serve(_ arguments: [String]) -> Never {
  let (socket, state) = read(arguments)
  let inherited = inheritedSocket()
  let path = socket ?? DefaultSocket.path { fail($0) }
  if inherited == nil { makeWay(path) }
  let server: Server
  do {
    server = try Server(path: path, shim: Shim.path(), inherited: inherited)
  } catch {
    fail("--socket \(path): \(error); give a path that can be made, of at most 107 bytes")
  }
  do {
    let file = state ?? DefaultSocket.beside(path)
    server.host.state = try State(path: file)
    server.host.state?.onTrouble = { why in
      let text = why.map { "\($0); figures are kept, and written when they can be" } ?? "all is written again"
      complain("--state \(file): \(text)")
    }
  } catch {
    server.shutDown()
    fail(error.text)
  }
  server.host.restore()

  var mask = sigset_t()
  sigemptyset(&mask)
  for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&mask, signal) }
  sigprocmask(SIG_BLOCK, &mask, nil)
  let signals = signalfd(-1, &mask, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
  var over = false
  server.watch(signals) { over = true }
  clinux_notify("READY=1")
  while !over { server.step() }
  clinux_notify("STOPPING=1")
  server.shutDown()
  exit(0)
}

private func read(_ arguments: [String]) -> (socket: String?, state: String?) {
  var socket: String?
  var state: String?
  var rest = arguments[...]
  while let word = rest.popFirst() {
    let name = word.prefix { $0 != "=" }
    func value() -> String {
      if name.count < word.count { return String(word.dropFirst(name.count + 1)) }
      guard let next = rest.popFirst() else { usage("\(word) needs a value") }
      return next
    }
    switch name {
    case "--help", "-h":
      say(help)
      exit(0)
    case "--version":
      say("beancounter 0.1\n")
      exit(0)
    case "--socket": socket = value()
    case "--state": state = value()
    default: usage("\(word): accepted: --socket PATH, --state FILE, --help, --version; a command is run by bcrun")
    }
  }
  return (socket, state)
}

private func complain(_ message: String) {
  let text = "bcd: \(message)\n"
  _ = text.withCString { write(2, $0, strlen($0)) }
}

private func usage(_ message: String) -> Never {
  let text = "bcd: \(message)\n"
  _ = text.withCString { write(2, $0, strlen($0)) }
  exit(2)
}

/// sd_listen_fds(3): the first descriptor is 3, and the variables are for this very process.
private func inheritedSocket() -> Int32? {
  guard let pid = getenv("LISTEN_PID"), let count = getenv("LISTEN_FDS"), Int32(String(cString: pid)) == getpid(),
    (Int32(String(cString: count)) ?? 0) >= 1
  else { return nil }
  unsetenv("LISTEN_PID")
  unsetenv("LISTEN_FDS")
  guard clinux_prepare_inherited(3) else { fail("the socket that was passed on is not a listening SOCK_SEQPACKET socket") }
  return 3
}

/// A socket that nobody listens at is a dead server's.
private func makeWay(_ path: String) {
  let fd = clinux_connect(path)
  if fd >= 0 { fail("--socket \(path): a server listens there already; use it, or give another --socket") }
  if clinux_errno() == ECONNREFUSED { unlink(path) }
}
