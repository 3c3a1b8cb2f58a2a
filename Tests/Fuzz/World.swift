import Beancounters
import CLinux
import Foundation
import Wire

@testable import Command
@testable import Server

/// A server without a loop, and under one parent two beancounters: one whose member sends and
/// writes anything, and its neighbour, which must not feel it. Both members are processes that only
/// wait.
final class World {
  private let server: Server
  private let family, hostile, prey: Accounting
  private let hostilePid, preyPid: Int32
  private var rounds = 0

  init() {
    server = try! Server.ofOneRun(shim: "/nowhere")
    let host = server.host
    func bounds(_ files: Int64, _ memory: Int64) -> Settings {
      let memory = Bounds(barrier: memory, limit: memory)
      return Settings(bounds: [
        .numfile: Bounds(barrier: files, limit: files), .privvmpages: memory,
      ])
    }
    family = try! host.create(name: "family", settings: bounds(1000, 1 << 20))
    hostile = try! host.create(name: "hostile", parent: family, settings: bounds(300, 1 << 18))
    prey = try! host.create(name: "prey", parent: family, settings: bounds(200, 1 << 18))
    (hostilePid, preyPid) = (World.waiting(), World.waiting())
    hostile.adopt(hostilePid, parent: 0)
    prey.adopt(preyPid, parent: 0)
    _ = ask(prey, preyPid) { $0.kind = UInt16(BC_JOIN.rawValue) }

  }

  private static func waiting() -> Int32 {
    let parent = getpid()
    let child = clinux_fork()
    guard child == 0 else { return child }
    for fd: Int32 in 0..<64 { close(fd) }
    while getppid() == parent { sleep(1) }
    _exit(0)
  }

  @discardableResult private func ask(
    _ one: Accounting, _ pid: Int32, _ set: (inout bc_request) -> Void
  ) -> bc_answer {
    var request = bc_request()
    request.thread = pid
    set(&request)
    bc_request_clean(&request)
    let (answer, descriptor) = one.answer(request, from: pid)
    if descriptor >= 0 { close(descriptor) }
    return answer
  }

  /// Each round: some words of the page written over, then a message with some of its bytes given,
  /// then what the server does by itself.
  func questions(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while rest.count >= 4, let control = rest.popFirst() {
      for _ in 0..<control % 8 {
        guard rest.count >= 10, let page = hostile.members[hostilePid]?.page else { break }
        let at = Int(rest.removeFirst()) << 8 | Int(rest.removeFirst())
        let word = rest.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        rest = rest.dropFirst(8)
        UnsafeMutableRawPointer(page).storeBytes(
          of: word, toByteOffset: at % 512 * 8, as: UInt64.self)
      }
      ask(hostile, hostilePid) { request in
        let count = min(rest.count, Int(control >> 3) * 8, MemoryLayout<bc_request>.size)
        withUnsafeMutableBytes(of: &request) { $0.copyBytes(from: rest.prefix(count)) }
        rest = rest.dropFirst(count)
        // Who goes by that number here is no business of the test's.
        if request.parent != 0 { request.parent = preyPid }
        if request.kind == UInt16(BC_FORKED.rawValue) {
          request.child = [preyPid, getpid(), 1][Int(request.child & 0xff) % 3]
        }
      }
      if control & 0x40 != 0 { server.host.tick() }
      server.host.pages.refill()
    }
    server.step(timeout: 0)
    look()
  }

  func control(_ bytes: [UInt8]) {
    let text = Control(server: server, pid: getpid()).reply(to: Array("bcctl/1\0".utf8) + bytes)
    precondition(text.isEmpty || text.last == "\n")
    for one in server.host.inOrder where ![family, hostile, prey].contains(where: { $0 === one }) {
      try? server.host.remove(one)
    }
    // What it may set, it may also set back.
    for one in [family, hostile, prey] where server.host.beancounters[one.id] !== one {
      fatalError("removed with members")
    }
    family.setBounds([.numfile: Bounds(barrier: 1000, limit: 1000), .numproc: Bounds()])
    hostile.setBounds([.numfile: Bounds(barrier: 300, limit: 300)])
    prey.setBounds([.numfile: Bounds(barrier: 200, limit: 200), .numproc: Bounds()])
  }

  /// The neighbour has its one process, can have its files, and none of it is anybody else's doing.
  private func look() {
    rounds += 1
    guard hostile.members[hostilePid] != nil, prey.members[preyPid] != nil else {
      fatalError("a member is lost")
    }
    precondition(prey.memberCount == 1 && prey.usedTotal(.numproc) == 1, "numproc of the neighbour")
    precondition(family.memberCount == 0 && hostile.memberCount == 1, "somebody was taken in")
    let answer = ask(prey, preyPid) { request in
      request.kind = UInt16(BC_CHARGE.rawValue)
      request.resource = UInt8(BC_NUMFILE.rawValue)
      request.amount = 100
    }
    precondition(answer.error == 0, "the neighbour was refused")
    prey.recall(.numfile)
    precondition(
      prey.usedTotal(.numfile) == 0 && prey.ledger[.numfile].failcnt == 0,
      "numfile of the neighbour")
    precondition(
      family.ledger[.numfile].granted >= 0 && family.ledger[.numproc].granted >= 2,
      "the parent's sums")
  }
}
