import Beancounters
import CLinux
import Command
import Recount
import Server

/// The options with the files of `--config` read in; says which rows are counted only. Ends this
/// process (125) when a file cannot be read, or when an option asks for a bound that cannot be
/// enforced.
func completed(_ options: Options) -> Options {
  var options = options
  do {
    let files = options.configFiles
    if !files.isEmpty {
      try options.read(configured: readConfigFiles(files), source: "bcctl bounds")
    }
    try options.checkMeminfo()
    try options.checkReclaim()
    if let line = Options.notEnforced(try options.checkEnforced()) {
      _ = "bcrun: \(line)\n".withCString { write(2, $0, strlen($0)) }
    }
  } catch {
    fail(error.message)
  }
  return options
}

/// The beancounters that the files of `bcd --config` name, each file read whole before anything is
/// made of any. A file that does not say its beancounter's name is one of its own name, as OpenVZ's
/// are: 101.conf is 101.
func wantedBeancounters(_ files: [String]) -> [Host.Wanted] {
  files.flatMap { file in
    let blocks: [Configured]
    do throws(UsageError) {
      blocks = try Configured.parse(
        lines: readConfigFiles([file], each: true), source: "bcctl bounds")
    } catch {
      fail(error.message)
    }
    return blocks.map { block in
      if let line = Options.notEnforced(in: block.resolved) {
        _ = "bcd: \(Display.visible(file)): \(line)\n".withCString { write(2, $0, strlen($0)) }
      }
      let base = file.split(separator: "/").last ?? ""
      let stem = String(base.split(separator: ".").first ?? base)
      return Host.Wanted(
        file: file, name: block.name ?? stem, id: block.name == nil ? Int(stem) : nil,
        configured: block)
    }
  }
}

/// Runs `bcctl bounds FILE…` and hands back what it printed: bcctl, because reading TOML takes
/// libraries that every start of this program would pay for. Its complaints go straight to stderr.
private func readConfigFiles(_ files: [String], each: Bool = false) -> String {
  let own = Procfs.executable(getpid()) ?? ""
  let bcctl = own.split(separator: "/").dropLast().map { "/" + $0 }.joined() + "/bcctl"
  guard access(bcctl, X_OK) == 0 else {
    fail(
      "--config: bcctl, which reads files, is not beside \(own): run `swift build -c release --product bcctl`"
    )
  }
  var ends: [Int32] = [-1, -1]
  guard pipe2(&ends, Int32(O_CLOEXEC)) == 0 else {
    fail("--config: no pipe: \(String(cString: strerror(clinux_errno())))")
  }

  let words =
    ([bcctl, "bounds"] + (each ? ["--each"] : []) + ["--"] + files).map { strdup($0) } + [nil]
  var environment: [UnsafeMutablePointer<CChar>?] = []
  while let entry = clinux_environment(environment.count) { environment.append(strdup(entry)) }
  defer { for word in words + environment { free(word) } }
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
  var child: pid_t = 0
  let error = posix_spawn(&child, bcctl, &actions, nil, words, environment + [nil])
  close(ends[1])
  guard error == 0 else { fail("--config: \(bcctl): \(String(cString: strerror(error)))") }

  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 4096)
  while true {
    let n = read(ends[0], &buffer, buffer.count)
    if n < 0, clinux_errno() == EINTR { continue }
    guard n > 0 else { break }
    bytes += buffer[..<n]
  }
  close(ends[0])
  var status: Int32 = 0
  while waitpid(child, &status, 0) < 0, clinux_errno() == EINTR {}
  guard status == 0 else { exit(isRun ? 125 : 1) }  // bcctl said why
  return String(decoding: bytes, as: UTF8.self)
}
