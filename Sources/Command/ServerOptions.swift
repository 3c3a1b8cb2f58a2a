/// What `bcd` was asked to do.
public struct ServerOptions: Sendable, Equatable {
  /// Where it listens; nil is the user's own place.
  public var socket: String?
  /// What survives it; nil is beside the socket.
  public var state: String?
  /// Bounds to begin with, in the order given.
  public var configFiles: [String] = []

  public init() {}
}

public enum ParsedServer: Sendable {
  case serve(ServerOptions)
  case help
  case version
}

/// Reads the options of `bcd`, as `parseOptions` those of `bcrun`. Throws with what is accepted
/// (bcd exits 2).
public func parseServerOptions(_ arguments: [String]) throws(UsageError) -> ParsedServer {
  let getopt = Getopt(arguments.map { Bytes($0) }, program: "bcd", table: LongOption.ofServer)
  var options = ServerOptions()
  while let found = try getopt.next() {
    let value = found.value ?? ""
    switch found.option.key {
    case .help: return .help
    case .version: return .version
    case _ where value.isEmpty:
      throw .unreadable(found.spelling, value, accepted: found.option.accepted)
    case .socket where value.utf8.count > 107:
      throw .unreadable(found.spelling, value, accepted: found.option.accepted)
    case .socket: options.socket = value
    case .state: options.state = value
    default: options.configFiles.append(value)
    }
  }
  guard getopt.position == arguments.count else {
    throw UsageError(
      "\(quoted(arguments[getopt.position])) is no option of bcd; a command is run by bcrun --server"
    )
  }
  return .serve(options)
}

/// What `bcd --help` prints; at most 80 columns.
public let serverHelpText = """
  Usage: bcd [--socket PATH] [--state FILE] [--config FILE]…
  Keep beancounters that many commands share, in the foreground.

    --socket PATH  where it listens; otherwise
                   $XDG_RUNTIME_DIR/beancounter/bcd.sock, or a directory of
                   yours under the temporary directory
    --state FILE   what survives the server: bounds, maxheld, failcnt, denials;
                   otherwise bcd.db beside the socket
    --config FILE  beancounters to begin with: an OpenVZ configuration, which is
                   one of the file's name (101.conf: 101), or TOML with
                   [beancounter.NAME] tables; repeatable. One that is there
                   already gets the bounds of the file
    -h, --help     print this
    --version      print the version

  bcrun --server PATH runs a command in a new beancounter, bcctl makes, changes
  and shows them. A socket from the service manager (sd_listen_fds) is used, and
  READY=1 is sent. SIGTERM ends it; members that run on find the next server at
  the same socket.

  Exit status: 0 after a signal that ends it, 1 it cannot start, 2 usage.

  """
