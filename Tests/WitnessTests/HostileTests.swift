import Foundation
import Glibc
import TestSupport
import Testing

@testable import Witness

/// Whatever comes from a member may be anything: no crash, no hang, no growth.
@Suite(.serialized) struct HostileTests {
  let shop: Workshop
  init() throws { shop = try Workshop() }

  /// Bytes of an `UInt64` into a message; the layout is Shim/witness.h's.
  private func put(_ value: UInt64, at offset: Int, in message: inout [UInt8]) {
    for i in 0..<8 { message[offset + i] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(i))) }
  }
  private let header = 320, registers = 24

  @Test("What is no message gives no stack")
  func noMessage() throws {
    let program = try Witnessing([shop.build("calls.c", "-g", "-O2")])
    let unwinder = try Unwinder(pid: program.pid)
    #expect(unwinder.frames([]).isEmpty)
    #expect(!unwinder.frames(program.message).isEmpty)
    for length in [1, 8, header - 1, header, program.message.count - 1] {
      #expect(unwinder.frames(Array(program.message.prefix(length))).isEmpty)
    }
    #expect(unwinder.frames(program.message + [0]).isEmpty)
    // Magic, version, machine, lengths of both slices
    for offset in [0, 4, 6, 296, 299, 312, 315] {
      var message = program.message
      message[offset] ^= 0x41
      #expect(unwinder.frames(message).isEmpty, "offset \(offset)")
    }
  }

  @Test("Any registers and any stack: bounded, and every name is that of code that is there")
  func anyBytes() throws {
    let program = try Witnessing([shop.build("calls.c", "-g", "-O2")])
    let modules = Modules()
    let unwinder = try Unwinder(pid: program.pid, modules: modules)
    let maps = Mapping.parse(try #require(contents(of: "/proc/\(program.pid)/maps", most: 1 << 20)))
    let code = maps.filter { $0.executable }.map { $0.start..<$0.end }
    // What the program's functions cover, by another reader of symbol tables.
    let symbols = try run("nm", "-S", "\(shop.path)/calls-c").split(separator: "\n").map {
      $0.split(separator: " ")
    }
    var ranges: [String: Range<UInt64>] = [:]
    for row in symbols where row.count == 4 && row[2].lowercased() == "t" {
      let (start, size) = (
        try #require(UInt64(row[0], radix: 16)), try #require(UInt64(row[1], radix: 16))
      )
      ranges[String(row[3])] = start..<(start + size)
    }
    var generator = Seeded(state: 3)
    func anyCode() -> UInt64 {
      UInt64.random(in: code.randomElement(using: &generator)!, using: &generator)
    }
    var longest = 0, named = 0
    for round in 0..<3000 {
      var message = program.message
      if round % 3 != 0 {  // words of the stack: anything, code, or addresses on the stack itself
        for at in stride(from: header, to: message.count - 7, by: 8) {
          if round % 2 == 1, Bool.random(using: &generator) { continue }
          switch Int.random(in: 0..<4, using: &generator) {
          case 0: put(generator.next(), at: at, in: &message)
          case 1: put(anyCode(), at: at, in: &message)
          case 2:
            let start = message[288..<296].reversed().reduce(0) { $0 << 8 | UInt64($1) }
            put(start &+ UInt64.random(in: 0..<16384, using: &generator) & ~7, at: at, in: &message)
          default: break
          }
        }
      }
      for _ in 0..<Int.random(in: 0..<6, using: &generator) {
        let register = Int.random(in: 0..<17, using: &generator)
        let value =
          Bool.random(using: &generator)
          ? generator.next()
          : anyCode()
        put(value, at: registers + 8 * register, in: &message)
      }
      if round % 5 == 0 { put(generator.next(), at: 8, in: &message) }  // which registers are known
      let stack = unwinder.frames(message)
      longest = max(longest, stack.count)
      let places = Set(stack.filter { !$0.inlined }.map(\.offset))
      #expect(places.count <= Unwinder.framesMost)
      for frame in stack where !frame.inlined && frame.module == "\(shop.path)/calls-c" {
        guard let function = frame.function else { continue }
        let range = try #require(ranges[function], "\(function)")
        #expect(range.contains(frame.offset), "\(frame)")
        named += 1
      }
    }
    #expect(longest > 3 && named > 1000)
  }

  @Test("Files cut short or written over, anywhere: no crash, no hang", arguments: [false, true])
  func files(_ cut: Bool) throws {
    let program = try shop.build("calls.c", "-g", "-O2")
    let good = try Data(contentsOf: URL(filePath: program))
    var generator = Seeded(state: cut ? 5 : 6)
    var survived = 0
    for round in 0..<400 {
      var bytes = good
      if cut {
        bytes = bytes.prefix(Int.random(in: 0..<good.count, using: &generator))
      } else {
        // Often in the first KiB, where the headers are, and the last, where the sections are told.
        for _ in 0..<Int.random(in: 1..<40, using: &generator) {
          let at =
            switch round % 4 {
            case 0: Int.random(in: 0..<1024, using: &generator)
            case 1: Int.random(in: (good.count - 2600)..<good.count, using: &generator)
            default: Int.random(in: 0..<good.count, using: &generator)
            }
          bytes[at] = UInt8.random(in: 0...255, using: &generator)
        }
      }
      let path = "\(shop.path)/broken"
      try bytes.write(to: URL(filePath: path))
      let modules = Modules(debugDirectories: [])
      guard let file = openRegular(path), let module = modules.module(file, path: path) else {
        continue
      }
      survived += 1
      for address in stride(from: UInt64(0x1000), to: 0x1800, by: 64) {
        #expect(!module.frames(at: address).isEmpty)
      }
    }
    #expect(survived > 20)
  }

  @Test("A file that changes while it is read, and one that is emptied under us")
  func replaced() throws {
    let program = try shop.build("calls.c", "-g", "-O2")
    let path = "\(shop.path)/copy"
    let good = try Data(contentsOf: URL(filePath: program))
    try good.write(to: URL(filePath: path))
    let modules = Modules(debugDirectories: [])
    let file = try #require(openRegular(path))
    let module = try #require(modules.module(file, path: path))
    truncate(path, 4096)
    for address in stride(from: UInt64(0x1000), to: 0x1800, by: 64) {
      #expect(!module.frames(at: address).isEmpty)
    }
    truncate(path, 0)
    for address in stride(from: UInt64(0x1000), to: 0x1800, by: 64) {
      #expect(!module.frames(at: address).isEmpty)
    }
    // Other contents are another file.
    try good.write(to: URL(filePath: path))
    let again = try #require(openRegular(path))
    let fresh = try #require(modules.module(again, path: path))
    #expect(fresh !== module)
    let names = stride(from: UInt64(0x1000), to: 0x1800, by: 4).flatMap {
      fresh.frames(at: $0).map(\.function)
    }
    #expect(names.contains("main"))
  }

  @Test("Unwinding with damaged unwind information ends")
  func damagedFrames() throws {
    let program = try shop.build("calls.c", "-g", "-O2")
    let good = try Data(contentsOf: URL(filePath: program))
    let sections = try run("readelf", "-SW", program).split(separator: "\n")
    func section(_ name: String) throws -> Range<Int> {
      let row = try #require(sections.first { $0.contains(" \(name) ") }).split(separator: "]")[1]
        .split(separator: " ")
      let (start, size) = (
        try #require(Int(row[3], radix: 16)), try #require(Int(row[4], radix: 16))
      )
      return start..<(start + size)
    }
    let places = try [
      section(".eh_frame_hdr"), section(".eh_frame"), section(".eh_frame"), section(".eh_frame"),
    ]
    var generator = Seeded(state: 11)
    for round in 0..<60 {
      var bytes = good
      for _ in 0..<Int.random(in: 1..<30, using: &generator) {
        bytes[Int.random(in: places[round % 4], using: &generator)] = UInt8.random(
          in: 0...255, using: &generator)
      }
      let path = "\(shop.path)/damaged-\(round)"
      // Copied by another process: a child that a test beside this one starts may inherit our
      // descriptor for writing, and then the kernel does not run the file (ETXTBSY).
      try bytes.write(to: URL(filePath: path + ".bytes"))
      try run("install", path + ".bytes", path)
      let stack = try stackOf(path)
      #expect(stack.count < 4 * Unwinder.framesMost)
      unlink(path)
    }
  }

  @Test("C++ names that would fill the memory stay as they are")
  func names() {
    func demangled(_ name: String) -> String? {
      var room = [CChar](repeating: 0, count: 4096)
      return room.withUnsafeMutableBufferPointer { demangle(name, $0) }
    }
    #expect(demangled("_ZN4shop4TillC1Ei") == "shop::Till::Till(int)")
    #expect(demangled("main") == nil)
    #expect(demangled("_Z" + String(repeating: "N", count: 100_000)) == nil)
    // Each pair holds the one before twice.
    var bomb = "_Z1fSt4pairIiiE"
    for i in 0..<40 {
      let last = "S" + (i == 0 ? "" : String(i - 1, radix: 36).uppercased()) + "_"
      bomb += "St4pairI\(last)\(last)E"
    }
    #expect(demangled(bomb) == nil)
  }
}
