package import Command
import Glibc

/// A configuration file, read whole and without fault, or not at all.
///
///     let file = try ConfigurationFile(path: "/etc/vz/conf/101.conf")
///     let bounds = try file.single().configured.resolved
package struct ConfigurationFile: Equatable, Sendable {
  package enum Format: String, Sendable { case openvz, toml }

  /// One beancounter of the file.
  package struct Section: Equatable, Sendable {
    package var configured = Configured()
    /// The expected average number of processes (AVNUMPROC): no bound, but the consistency rules
    /// ask for it.
    package var averageProcesses: Int64?

    /// Nothing is set.
    var isEmpty: Bool { self == Section() }
  }

  package let path: String
  package let format: Format
  /// What stands at the top of the file: all of an OpenVZ configuration.
  package let top: Section
  /// The `[beancounter.NAME]` tables of a TOML file, by name.
  package let named: [Section]

  /// Reads the file at `path`. Throws with every problem that it has.
  package init(path: String) throws(ConfigurationError) {
    let bytes: [UInt8]
    do {
      bytes = try contents(of: path)
    } catch {
      throw ConfigurationError(path, [error])
    }
    try self.init(bytes, path: path)
  }

  /// Reads `bytes`; `path` gives the extension, and the name in messages.
  ///
  /// `.conf` and `.conf-sample` are OpenVZ's and `.toml` is TOML. Any other file is told by its
  /// first line that is neither empty nor a comment: `NAME=…` with a capital name and no space
  /// before the `=`, or `export NAME=…`, is OpenVZ's; all else is TOML.
  package init(_ bytes: [UInt8], path: String) throws(ConfigurationError) {
    self.path = path
    format = ConfigurationFile.format(of: bytes, path: path)
    let result: Result<(top: Section, named: [Section]), Problems>
    switch format {
    case .openvz: result = OpenVZReader.read(bytes).map { ($0, []) }
    case .toml: result = TOMLReader.read(bytes)
    }
    switch result {
    case .success(let found): (top, named) = found
    case .failure(let problems): throw ConfigurationError(path, problems.all)
    }
  }

  /// Every beancounter of the file, the named ones after what stands at the top, if that says
  /// anything.
  package var sections: [Section] { named.isEmpty || !top.isEmpty ? [top] + named : named }

  /// The one beancounter of the file, for bcrun.
  package func single() throws(ConfigurationError) -> Section {
    guard named.isEmpty else {
      let names = named.compactMap(\.configured.name).map { "[beancounter.\(shown($0))]" }.joined(
        separator: ", ")
      throw ConfigurationError(
        path,
        [
          Problem(
            message:
              "has \(names), which are for bcd --config; bcrun takes the bounds under [bounds]")
        ])
    }
    return top
  }

  private static func format(of bytes: [UInt8], path: String) -> Format {
    if path.hasSuffix(".toml") { return .toml }
    if path.hasSuffix(".conf") || path.hasSuffix(".conf-sample") { return .openvz }
    for (_, line) in Line.all(bytes) {
      var rest = line.drop(while: Line.isBlank)
      if rest.isEmpty || rest.first == UInt8(ascii: "#") { continue }
      rest = OpenVZReader.withoutExport(rest)
      let name = rest.prefix {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) || Line.isDigit($0)
          || $0 == UInt8(ascii: "_")
      }
      return !name.isEmpty && rest.dropFirst(name.count).first == UInt8(ascii: "=")
        ? .openvz : .toml
    }
    return .toml
  }
}

/// Problems as an Error, for Result.
struct Problems: Error {
  var all: [Problem]
}

/// `text` as it may be shown in a message.
func shown(_ text: String) -> String { visible(text) }

/// The largest file that is read: a configuration has some dozen lines.
private let largest = 1 << 20

private func contents(of path: String) throws(Problem) -> [UInt8] {
  let file = open(path, O_RDONLY | O_CLOEXEC)
  guard file >= 0 else {
    throw Problem(message: "cannot be opened: \(String(cString: strerror(errno)))")
  }
  defer { close(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65536)
  while bytes.count <= largest {
    let n = read(file, &buffer, buffer.count)
    if n < 0, errno == EINTR { continue }
    guard n >= 0 else {
      throw Problem(message: "cannot be read: \(String(cString: strerror(errno)))")
    }
    if n == 0 { return bytes }
    bytes += buffer[..<n]
  }
  throw Problem(message: "is larger than \(largest) bytes, which no configuration is")
}

extension Problem: Error {}
