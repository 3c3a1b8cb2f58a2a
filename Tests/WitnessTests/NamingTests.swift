import Foundation
import Testing

@testable import Witness

/// Names are read when somebody asks, which may be long after the stack was unwound.
@Suite(.serialized) struct NamingTests {
  let shop: Workshop
  let program: String
  private let own = ["innermost", "middle", "hidden", "outer", "main"]

  init() throws {
    shop = try Workshop()
    program = try shop.build("calls.c", "-g", "-O2")
  }

  /// Its stack as it was unwound, once it has ended.
  private func unwound(_ modules: Modules) throws -> (pid: Int32, stack: [Frame]) {
    let witnessing = try Witnessing([program])
    let stack = try Unwinder(pid: witnessing.pid, modules: modules).stack(witnessing.message)
    #expect(witnessing.finish() == 0)
    return (witnessing.pid, stack)
  }

  private func isOwn(_ frame: Frame) -> Bool { frame.module == program }

  @Test("Nothing has a name before; afterwards all that it ever had, also through text")
  func later() throws {
    let modules = Modules()
    let (pid, stack) = try unwound(modules)
    // hidden, outer, main, _start: what is inlined is not known yet.
    #expect(stack.count(where: isOwn) == 4)
    for frame in stack {
      #expect(frame.function == nil && frame.file == nil && frame.unread != nil)
      #expect(frame.label.contains("+0x"))
    }
    #expect(Frame.stack(Frame.text(of: stack)) == stack)
    let named = modules.named(Frame.stack(Frame.text(of: stack)), of: pid)
    #expect(functions(named).starts(with: own))
    #expect(named.allSatisfy { $0.unread == nil })
    let witnessing = try Witnessing([program])
    let atOnce = try Unwinder(pid: witnessing.pid).frames(witnessing.message)
    #expect(atOnce == named)
    // Twice is no harm.
    #expect(modules.named(named, of: pid) == named)
    // Each frame with what it is named, however many functions that is.
    let chains = Frame.named(Frame.text(of: named))
    #expect(chains.count == stack.count && chains[0].count == 3)
  }

  @Test("Nothing that names need is read before")
  func unread() throws {
    let modules = Modules()
    let (pid, stack) = try unwound(modules)
    let before = modules.bytes
    _ = modules.named(stack, of: pid)
    #expect(modules.bytes > before + 4096)
  }

  @Test("A program that was written over gives no names, and none of the new one's")
  func writtenOver() throws {
    let modules = Modules()
    let (pid, stack) = try unwound(modules)
    let other = try shop.build("signals.c", "-g", "-O1")
    try run("sh", "-c", "cat \(other) > \(program)")
    let named = modules.named(stack, of: pid)
    #expect(named.filter(isOwn) == stack.filter(isOwn).map(nameless))
    #expect(functions(named).contains { $0.hasPrefix("__libc_start") })
  }

  @Test("One that is written over as soon as it has ended is not unwound by what the new one says")
  func writtenOverBefore() throws {
    let witnessing = try Witnessing([program])
    let maps = Mapping.parse(
      try #require(contents(of: "/proc/\(witnessing.pid)/maps", most: 1 << 20)))
    let files = MappedFiles(pid: witnessing.pid, maps)
    #expect(witnessing.finish() == 0)
    let other = try shop.build("signals.c", "-g", "-O1")
    try run("sh", "-c", "cat \(other) > \(program)")
    let unwinder = try Unwinder(pid: witnessing.pid, maps, files: files, modules: Modules())
    let named = unwinder.frames(witnessing.message)
    #expect(named.first.map(isOwn) == true)
    #expect(named.filter(isOwn).allSatisfy { $0.function == nil && $0.file == nil })
  }

  @Test("One that was replaced or removed has its own names still")
  func replaced() throws {
    let modules = Modules()
    let (pid, stack) = try unwound(modules)
    let other = try shop.build("signals.c", "-g", "-O1")
    try run("mv", other, program)
    #expect(functions(modules.named(stack, of: pid)).starts(with: own))
    try run("rm", program)
    #expect(functions(modules.named(stack, of: pid)).starts(with: own))
  }

  @Test("Whoever has not had it open takes it from its path, if it is that file")
  func otherWorker() throws {
    let (pid, stack) = try unwound(Modules())
    #expect(functions(Modules().named(stack, of: pid)).starts(with: own))
    try run("sh", "-c", "cp \(program) \(program)-new && mv \(program)-new \(program)")
    #expect(Modules().named(stack, of: pid).filter(isOwn) == stack.filter(isOwn).map(nameless))
    try run("rm", program)
    #expect(Modules().named(stack, of: pid).filter(isOwn) == stack.filter(isOwn).map(nameless))
  }

  @Test("What is gone already when it is unwound is named then")
  func gone() throws {
    let witnessing = try Witnessing([program, "unlink"])
    let stack = try Unwinder(pid: witnessing.pid).stack(witnessing.message)
    #expect(functions(stack).starts(with: own))
    #expect(stack.filter(isOwn).allSatisfy { $0.unread == nil })
  }

  private func nameless(_ frame: Frame) -> Frame {
    var frame = frame
    frame.unread = nil
    return frame
  }
}
