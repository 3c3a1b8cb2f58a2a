import Beancounters
import Command
import Glibc
import Testing

@testable import Configuration

func read(_ text: String, as path: String) throws(ConfigurationError) -> ConfigurationFile {
  try ConfigurationFile(Array(text.utf8), path: path)
}

/// The rows of a file's one beancounter.
func rows(_ text: String, as path: String) throws -> [Resource: Bounds] {
  try read(text, as: path).single().configured.resolved
}

/// `LINE: message` of each problem.
func problems(_ text: String, as path: String) -> [String] { problems(Array(text.utf8), as: path) }

func problems(_ bytes: [UInt8], as path: String) -> [String] {
  do {
    let file = try ConfigurationFile(bytes, path: path)
    return ["no problem: \(file)"]
  } catch {
    return error.problems.map { problem in (problem.line.map { "\($0): " } ?? "") + problem.message
    }
  }
}

func expectStarts(
  _ found: [String], _ expected: [String], _ location: SourceLocation = #_sourceLocation
) {
  #expect(found.count == expected.count, "\(found)", sourceLocation: location)
  for (found, expected) in zip(found, expected) {
    #expect(found.hasPrefix(expected), sourceLocation: location)
  }
}

/// A file in a directory of its own, gone when `body` returns.
func withFile<T>(_ name: String, _ bytes: [UInt8], _ body: (String) throws -> T) throws -> T {
  var template = Array("/tmp/bc-configuration-XXXXXX".utf8CString)
  let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
  let path = folder + "/" + name
  let file = creat(path, 0o600)
  try #require(file >= 0)
  try #require(write(file, bytes, bytes.count) == bytes.count)
  close(file)
  defer {
    unlink(path)
    rmdir(folder)
  }
  return try body(path)
}
