import Beancounters
import CLinux
import Command
import TestSupport
import Testing
import Wire

@testable import Server

/// Questions that no shim would put, thousands in a second: no byte of them is trusted.
@Suite struct HostileQuestions {
  private static let amounts: [Int64] = [
    0, 1, -1, 2, 64, 4095, 4096, 1 << 31, -(1 << 31), 1 << 40, 1 << 47, 1 << 52, (1 << 53) + 1,
    1 << 60, .max, .max - 4095, .min, .min + 1, .min / 2,
  ]
  /// What names no process and no file but the member's own: the rest is for a live server
  /// (Tests/hostile).
  private static let kinds = [
    BC_CHARGE, BC_VERIFY, BC_MEMORY, BC_BUFFER, BC_OWN_LIMIT, BC_EXEC_FAILED,
  ]

  private static func question(_ leaf: Accounting, _ pid: Int32, _ random: inout Seeded)
    -> bc_request
  {
    var question = bc_request()
    question.kind = UInt16(kinds.randomElement(using: &random)!.rawValue)
    question.resource = UInt8(random.below(27))
    question.severity = UInt8(random.below(4))
    question.token = (leaf.token.high, leaf.token.low)
    question.thread = pid
    question.socket = Int32(truncatingIfNeeded: random.below(16)) - 1
    question.amount = random.below(3) == 0 ? 1 : amounts.randomElement(using: &random)!
    question.want = amounts.randomElement(using: &random)!
    question.child = Int32(truncatingIfNeeded: random.next())
    question.again = UInt32(random.below(4))
    question.flags = random.below(4) == 0 ? UInt16(truncatingIfNeeded: random.next()) : 0
    return question
  }

  @Test(arguments: 0..<8) func noAmountMakesTheServerTrap(seed: Int) throws {
    let pid = clinux_fork()
    if pid == 0 { while true { pause() } }
    defer { kill(pid, SIGKILL); waitpid(pid, nil, 0) }
    var random = Seeded(state: UInt64(seed))
    let bound: Int64 = [8, 100, Bounds.unlimited][seed % 3]
    let world = try World(pids: [pid], barriers: (bound, Bounds.unlimited))
    let other = try world.host.create(name: "other", settings: Settings(bounds: [:]))
    for _ in 0..<5000 {
      let question = HostileQuestions.question(world.leaf, pid, &random)
      _ = world.leaf.answer(question, from: pid)
      let row = Resource.charged.randomElement(using: &random)!
      // … and whoever asks may have written into its cell before.
      if random.below(8) == 0 {
        let word = HostileQuestions.amounts.randomElement(using: &random)!
        bc_store(&world.cell(0, row).pointee.credit, word)
      }
      if random.below(8) == 0 {
        bc_store(
          &world.cell(0, row).pointee.low, HostileQuestions.amounts.randomElement(using: &random)!)
      }
    }
    for row in Resource.charged {
      #expect(world.leaf.ledger[row].granted == world.root.ledger[row].granted, "\(row)")
      #expect(other.ledger[row].granted == 0)
    }
  }
}
