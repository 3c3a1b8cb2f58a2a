import Beancounters
import CLinux
import Foundation

@testable import Command
@testable import Configuration
@testable import Recount
@testable import Server
@testable import Witness

// Whatever is made of bytes that somebody else wrote, for libFuzzer: the first byte says what reads
// the rest. Built and run by Tests/fuzz. What is no crash and no hang is still wrong where `World`
// finds that the neighbour has lost something.

nonisolated(unsafe) private var world: World!

@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutablePointer<Int32>?, _: UnsafeMutableRawPointer?) -> Int32 {
  world = World()
  return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  guard let start, count > 1 else { return -1 }
  let bytes = Array(UnsafeBufferPointer(start: start + 1, count: count - 1))
  switch start[0] % 8 {
  case 0...2: world.questions(bytes)
  case 3: world.control(bytes)
  case 4: configuration(bytes)
  case 5: witness(bytes)
  case 6: words(bytes)
  default: kernel(bytes)
  }
  return 0
}

private func configuration(_ bytes: [UInt8]) {
  for path in ["a.conf", "a.toml", "a"] {
    guard let file = try? ConfigurationFile(bytes, path: path) else { continue }
    for section in file.sections { _ = section.configured.resolved }
    _ = try? file.boundsLines()
    _ = file.eachBoundsLines()
  }
}

nonisolated(unsafe) private var unwinder = try? Unwinder(
  pid: getpid(), modules: Modules(debugDirectories: []))

/// A slice of a stack, registers, and the text that comes back of it.
private func witness(_ bytes: [UInt8]) {
  let stack = unwinder?.frames(bytes) ?? []
  precondition(Frame.stack(Frame.text(of: stack)).count == stack.count)
  let text = String(decoding: bytes, as: UTF8.self)
  let frames = Frame.stack(text)
  precondition(Frame.stack(Frame.text(of: frames)).count <= frames.count)
  precondition(Frame.named(text).joined().count <= frames.count)
  for one in Mapping.parse(bytes) { precondition(one.start < one.end) }
  _ = try? Unwinder(pid: getpid(), maps: bytes, modules: Modules(debugDirectories: []))
}

/// Options, amounts, views and what a report says of names that anybody chose.
private func words(_ bytes: [UInt8]) {
  let words = bytes.split(separator: 0, omittingEmptySubsequences: false).map {
    String(decoding: $0, as: UTF8.self)
  }
  _ = try? parseOptions(words)
  for word in words {
    for resource in [Resource.numfile, .privvmpages, .kmemsize] {
      if let change = try? BoundsChange(word, of: resource, option: "x") {
        _ = change.applied(to: Bounds())
      }
    }
    _ = Injection.read(word)
    _ = View(path: word, id: 1)
    _ = Token(word)
    precondition(!jsonString(word).contains("\n") && !visible(word).contains("\n"))
  }
  let first = words[0]
  let report = Report(
    id: 1, name: first, command: words, exit: .init(code: 0), seconds: Double(first) ?? 0, rows: [],
    denials: [
      .init(
        resource: .numfile, count: 1, errno: first, pid: 1, comm: first, call: first, detail: first,
        amount: 1)
    ],
    uncovered: [.init(pid: 1, executable: first, reason: first)], remaining: 0, server: .init())
  precondition(report.json().split(separator: "\n").count == 1)
  precondition((try? JSONSerialization.jsonObject(with: Data(report.json().utf8))) != nil)
  _ = report.kv()
  _ = report.text(verbose: true)
}

/// What the kernel says of a process that chose its name, its files and its image.
private func kernel(_ bytes: [UInt8]) {
  if let stat = Procfs.Stat(bytes: bytes[...]) {
    precondition(stat.comm.utf8.count <= 3 * bytes.count)
  }
  _ = Executable.reasonUncovered(head: bytes[...])
  let text = String(decoding: bytes, as: UTF8.self)
  for line in text.split(separator: "\n") { _ = Locks.Line(line) }
  _ = MemInfo.text(of: text, all: 1, left: 1)
}

// SwiftPM gives every program's main the program's name; libFuzzer's own is thus not taken.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _: UnsafeMutablePointer<Int32>,
  _: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
  _: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

@_cdecl("Fuzz_main")
public func main(_ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?)
  -> Int32
{
  var count = count
  var arguments = arguments
  return runDriver(&count, &arguments) { test($0, $1) }
}
