import CLinux
import Command
import Recount
import Server

/// The server that many share, until SIGTERM.
func serve(_ arguments: [String]) -> Never {
  let options = readOptions(arguments)
  let wanted = wantedBeancounters(options.configFiles)
  let inherited = inheritedSocket()
  let path = options.socket ?? DefaultSocket.path { fail($0) }
  if inherited == nil { makeWay(path) }
  let server: Server
  do {
    server = try Server(path: path, shim: Shim.path(), inherited: inherited)
  } catch {
    fail("--socket \(path): \(error); give a path that can be made, of at most 107 bytes")
  }
  do {
    let file = options.state ?? DefaultSocket.beside(path)
    server.host.state = try State(path: file)
    server.host.state?.onTrouble = { why in
      let text =
        why.map { "\($0); figures are kept, and written when they can be" }
        ?? "all is written again"
      complain("--state \(file): \(text)")
    }
  } catch {
    server.shutDown()
    fail(error.text)
  }
  server.host.restore()
  do {
    try server.host.configure(wanted)
  } catch {
    server.shutDown()
    fail(error.text)
  }

  var mask = sigset_t()
  sigemptyset(&mask)
  for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&mask, signal) }
  sigprocmask(SIG_BLOCK, &mask, nil)
  let signals = signalfd(-1, &mask, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
  var over = false
  server.watch(signals) { over = true }
  clinux_notify("READY=1")
  clinux_forget_start()
  while !over { server.step() }
  clinux_notify("STOPPING=1")
  server.shutDown()
  exit(0)
}

private func readOptions(_ arguments: [String]) -> ServerOptions {
  do {
    switch try parseServerOptions(arguments) {
    case .help: say(serverHelpText)
    case .version: say("beancounter 0.1\n")
    case .serve(let options): return options
    }
    exit(0)
  } catch {
    complain(error.message)
    exit(2)
  }
}

private func complain(_ message: String) {
  let text = "bcd: \(message)\n"
  _ = text.withCString { write(2, $0, strlen($0)) }
}

/// sd_listen_fds(3): the first descriptor is 3, and the variables are for this very process.
private func inheritedSocket() -> Int32? {
  guard let pid = getenv("LISTEN_PID"), let count = getenv("LISTEN_FDS"),
    Int32(String(cString: pid)) == getpid(),
    (Int32(String(cString: count)) ?? 0) >= 1
  else { return nil }
  unsetenv("LISTEN_PID")
  unsetenv("LISTEN_FDS")
  guard clinux_prepare_inherited(3) else {
    fail("the socket that was passed on is not a listening SOCK_SEQPACKET socket")
  }
  return 3
}

/// A socket that nobody listens at is a dead server's.
private func makeWay(_ path: String) {
  let fd = clinux_connect(path)
  if fd >= 0 {
    fail("--socket \(path): a server listens there already; use it, or give another --socket")
  }
  if clinux_errno() == ECONNREFUSED { unlink(path) }
}
