import Beancounters
import CLinux
import Command
import TestSupport
import Testing
import Wire

@testable import Server

/// A leaf below a root, with members whose pages are ordinary memory and whose processes sleep.
final class World {
  let host = Host()
  let root, leaf: Accounting
  let pids: [Int32]
  let pages: [UnsafeMutablePointer<bc_page>]
  /// How many questions were answered at once.
  var atOnce = 0
  static let rows: [Resource] = [.numfile, .numtcpsock]

  init(pids: [Int32], barriers: (root: Int64, leaf: Int64)) throws {
    self.pids = pids
    root = try host.create(name: "root", settings: Settings(bounds: World.bounds(barriers.root)))
    leaf = try host.create(
      name: "leaf", parent: root, settings: Settings(bounds: World.bounds(barriers.leaf)))
    var pages: [UnsafeMutablePointer<bc_page>] = []
    for pid in pids {
      leaf.adopt(pid, parent: 0)
      let memory = UnsafeMutableRawPointer.allocate(byteCount: bc_memfd_size(), alignment: 4096)
      memset(memory, 0, bc_memfd_size())
      pages.append(memory.bindMemory(to: bc_page.self, capacity: 1))
      leaf.join(pid, page: pages.last!)
      // What the sleeping process has open is nobody's: from here on the pages alone say what is
      // held.
      for r in World.rows {
        _ = bc_exchange32(&bc_page_cell(pages.last!, UInt32(r.rawValue)).pointee.uncertain, 0)
      }
    }
    self.pages = pages
  }

  private static func bounds(_ barrier: Int64) -> [Resource: Bounds] {
    Dictionary(uniqueKeysWithValues: rows.map { ($0, Bounds(barrier: barrier, limit: barrier)) })
  }

  func cell(_ i: Int, _ r: Resource) -> UnsafeMutablePointer<bc_cell> {
    bc_page_cell(pages[i], UInt32(r.rawValue))
  }

  /// As the shim does it, with a question for what is not there; `quickly` as the server does it
  /// first. False: denied.
  func charge(_ i: Int, _ r: Resource, _ n: Int64, quickly: Bool) -> Bool {
    if bc_load(&cell(i, r).pointee.credit) < n {
      var question = bc_request()
      question.kind = UInt16(BC_CHARGE.rawValue)
      question.resource = UInt8(r.rawValue)
      question.severity = UInt8(BC_HARD.rawValue)
      question.amount = n
      question.thread = pids[i]
      question.socket = -1
      question.token = (leaf.token.high, leaf.token.low)
      let before = leaf.ledger[r].maxheld
      if quickly, host.seats.grantAtOnce(&question, from: pids[i]) {
        atOnce += 1
        if leaf.ledger[r].maxheld > before {
          hasInvented = hasInvented || leaf.ledger[r].maxheld > most[r, default: 0]
        }
      } else {
        let answer = leaf.answer(question, from: pids[i]).0
        guard answer.error == 0 else { return false }
        if answer.flags & UInt32(BC_ANSWER_TAKEN) != 0 {
          _ = bc_add32(&cell(i, r).pointee.pending, -1)
          most[r] = max(most[r, default: 0], pids.indices.reduce(0) { $0 + used($1, r) })
          return true
        }
      }
    }
    let left = bc_load(&cell(i, r).pointee.credit) - n
    bc_store(&cell(i, r).pointee.credit, left)
    bc_store(&cell(i, r).pointee.low, min(left, bc_load(&cell(i, r).pointee.low)))
    most[r] = max(most[r, default: 0], pids.indices.reduce(0) { $0 + used($1, r) })
    return true
  }

  /// The most that was ever in use.
  private var most: [Resource: Int64] = [:]
  /// A maximum was seen at once that never was.
  var hasInvented = false

  func used(_ i: Int, _ r: Resource) -> Int64 {
    let granted = leaf.ledger.granted(leaf.members[pids[i]]!.slot, r)
    return granted - Member.unspent(bc_load(&cell(i, r).pointee.credit), granted: granted)
  }

  func uncharge(_ i: Int, _ r: Resource, _ n: Int64) {
    _ = bc_add(&cell(i, r).pointee.credit, min(n, used(i, r)))
  }

  /// What is in use, by row and member.
  var uses: [Int64] { World.rows.flatMap { r in pids.indices.map { used($0, r) } } }
  var maxima: [Int64] {
    World.rows.flatMap { r in [root.ledger[r].maxheld, leaf.ledger[r].maxheld] }
  }
  var trueMaxima: [Int64] {
    World.rows.flatMap { r in [most[r, default: 0], most[r, default: 0]] }
  }

  /// After a last look.
  func look() { for r in World.rows { root.recall(r) } }

  var isWithinBounds: Bool {
    World.rows.allSatisfy { r in
      let (above, below) = (root.ledger[r], leaf.ledger[r])
      return above.granted == below.granted && above.granted <= above.bounds.barrier
        && below.granted <= below.bounds.barrier
    }
  }
}

@Suite struct AtOnce {
  /// Two worlds see the same charges; in one of them the server never takes the short way. Nobody
  /// can tell: the same is in use and the same is denied, and no maximum is invented. Of one member
  /// none is missed either.
  @Test(arguments: [1, 2, 3]) func theShortWayGrantsWhatTheWholeWayGrants(members: Int) throws {
    var pids: [Int32] = []
    defer { for pid in pids { kill(pid, SIGKILL); waitpid(pid, nil, 0) } }
    for _ in 0..<members {
      let pid = clinux_fork()
      if pid == 0 { while true { pause() } }
      pids.append(pid)
    }
    var atOnce = 0
    for seed in 0..<20 {
      var random = Seeded(state: UInt64(seed * 10 + members))
      let barriers = (
        Int64.random(in: 20...3000, using: &random), Int64.random(in: 20...3000, using: &random)
      )
      let (short, whole) = (
        try World(pids: pids, barriers: barriers), try World(pids: pids, barriers: barriers)
      )
      for step in 0..<300 {
        let (i, r) = (
          Int.random(in: 0..<members, using: &random), World.rows.randomElement(using: &random)!
        )
        let n = Int64.random(in: 1...20, using: &random)
        if Int.random(in: 0..<3, using: &random) > 0 {
          let same = short.charge(i, r, n, quickly: true) == whole.charge(i, r, n, quickly: false)
          #expect(same, "seed \(seed), step \(step): \(n) \(r) of member \(i)")
        } else {
          short.uncharge(i, r, n)
          whole.uncharge(i, r, n)
        }
        let isRight = short.uses == whole.uses && short.isWithinBounds && !short.hasInvented
        guard isRight else {
          Issue.record(
            "seed \(seed), step \(step): \(n) \(r) of member \(i): \(short.uses), \(whole.uses)")
          return
        }
      }
      atOnce += short.atOnce
      guard members == 1 else { continue }
      short.look()
      #expect(short.maxima == short.trueMaxima, "seed \(seed)")
    }
    #expect(atOnce > 100)
  }

  /// A wrong token, another process, a corrupted cell and an absurd amount get nothing on the short
  /// way.
  @Test func whatIsNotSimpleGoesTheWholeWay() throws {
    let world = try World(pids: [getpid()], barriers: (Bounds.unlimited, Bounds.unlimited))
    func question(_ change: (inout bc_request) -> Void) -> Bool {
      var question = bc_request()
      question.kind = UInt16(BC_CHARGE.rawValue)
      question.resource = UInt8(Resource.numfile.rawValue)
      question.amount = 1
      question.thread = getpid()
      question.token = (world.leaf.token.high, world.leaf.token.low)
      change(&question)
      return world.host.seats.grantAtOnce(&question, from: getpid())
    }
    #expect(question { _ in })
    #expect(!question { $0.token.1 ^= 1 })
    #expect(!question { $0.resource = UInt8(Resource.numproc.rawValue) })
    #expect(!question { $0.resource = 255 })
    #expect(!question { $0.amount = 0 })
    #expect(!question { $0.amount = 1 << 50 })
    #expect(!question { $0.severity = UInt8(BC_FORCE.rawValue) })
    #expect(!question { $0.thread = 1 })
    world.leaf.setBounds([.numfile: Bounds(barrier: 100, limit: 100)])
    #expect(!question { $0.amount = 101 })
    world.leaf.setBounds([.numfile: Bounds()])
    var other = bc_request()
    other.kind = UInt16(BC_CHARGE.rawValue)
    other.amount = 1
    #expect(!world.host.seats.grantAtOnce(&other, from: 1))
    // All credit there is cannot make the server trap.
    bc_store(&world.cell(0, .numfile).pointee.credit, .max)
    _ = question { _ in }
    bc_store(&world.cell(0, .numfile).pointee.credit, .min)
    _ = question { _ in }
  }
}
