import Beancounters

/// The books and the facts, taken through the same steps. After each, the laws of design §2 are
/// looked at.
final class LedgerWorld {
  private var facts: Facts
  /// By the numbers of `facts`.
  private var books: [Books] = []
  private var members: [Books.Member] = []
  private var broken: String?

  init() {
    let bounds = Bounds(barrier: 40, limit: 44)
    facts = Facts(root: [bounds, bounds])
    books = [newBooks(below: nil, bounds)]
    join(0)
  }

  private func newBooks(below parent: Books?, _ bounds: Bounds) -> Books {
    Books(below: parent, [.numfile: bounds, .privvmpages: bounds]) {
      [unowned self] one, member, row in
      guard let member else {
        return facts.beancounters[books.firstIndex { $0 === one }!].left[row.rawValue]
      }
      let i = members.firstIndex { $0 === member }!
      facts.members[i].lies[row.rawValue] = false
      return facts.members[i].has[row.rawValue]
    }
  }

  private func fail(_ law: @autoclosure () -> String) { if broken == nil { broken = law() } }

  // MARK: Steps

  /// The first law to break in these steps, or after all have ended.
  static func broken(_ steps: [LedgerStep]) -> String? {
    let world = LedgerWorld()
    for step in steps {
      world.take(step)
      world.lookAtBooks()
      if let broken = world.broken { return broken }
    }
    world.end()
    return world.broken
  }

  /// The beancounter so named that is there.
  private func there(_ number: Int) -> Int {
    let all = facts.beancounters.indices.filter { facts.beancounters[$0].isThere }
    return all[number % all.count]
  }

  private func take(_ step: LedgerStep) {
    switch step {
    case .join(let one): if members.count < 10 { join(there(one)) }
    case .create(let below, let bounds): create(below: there(below), bounds)
    case .remove(let one): remove(there(one))
    case .recall(let one, let row): books[there(one)].recall(row)
    case .recount(let one, let row): recount(there(one), row)
    case .setBounds(let one, let row, let bounds):
      facts.beancounters[there(one)].bounds[row.rawValue] = bounds
      books[there(one)].setBounds(bounds, row.resource, row)
    case .guarantee(let one, let barrier):
      facts.beancounters[there(one)].guarantee = barrier
      books[there(one)].setBounds(Bounds(barrier: barrier), .vmguarpages, .memory)
    case .vanishLeft(let one, let row, let n):
      let one = there(one)
      facts.beancounters[one].left[row.rawValue] -= min(
        n, facts.beancounters[one].left[row.rawValue])
      books[one].leftUnsure[row.rawValue] = true
    default: if !members.isEmpty { takeOfMember(step) }
    }
  }

  private func takeOfMember(_ step: LedgerStep) {
    func the(_ number: Int) -> Int { number % members.count }
    switch step {
    case .charge(let who, let row, let n, let batch, let severity):
      _ = charge(the(who), row, n, batch, severity)
    case .uncharge(let who, let row, let n):
      let (who, r) = (the(who), row.rawValue)
      let m = min(n, facts.members[who].has[r])
      facts.members[who].has[r] -= m
      members[who].credit[r] &+= m
    case .vanish(let who, let row, let n):
      let (who, r) = (the(who), row.rawValue)
      facts.members[who].has[r] -= min(n, facts.members[who].has[r])
      members[who].unsure[r] = true
    case .scribble(let who, let row, let word):
      let (who, r) = (the(who), row.rawValue)
      if word > members[who].credit[r] { facts.members[who].lies[r] = true }
      for level in facts.upwards(from: facts.members[who].beancounter) {
        facts.beancounters[level].wasMisled[r] = true
      }
      members[who].credit[r] = word
    case .fork(let who, let row): if members.count < 10 { fork(the(who), row) }
    case .die(let who, let leaving): die(the(who), leaving: leaving)
    case .move(let who, let to): move(the(who), to: there(to))
    default: break
    }
  }

  // MARK: Charges

  private func charge(_ who: Int, _ row: Row, _ n: Int64, _ batch: Int64, _ severity: Severity)
    -> Bool
  {
    let (r, one) = (row.rawValue, facts.members[who].beancounter)
    let chain = facts.upwards(from: one)
    let expected = facts.refuses(who, r, n, severity)
    let misled = chain.filter { facts.isMisled($0, r) }
    let refusing = books[one].charge(members[who], row, n, batch: batch, severity) {
      lookAtGrant($0, n, row, severity, chain)
    }
    if let refusing {
      let level = books.firstIndex { $0 === refusing }!
      facts.beancounters[level].failcnt[r] += 1
      if facts.fits(level, r, n, severity) {
        fail("false denial: \(facts.held(level, r)) + \(n) fits into \(level)")
      }
      if misled.isEmpty, level != expected {
        fail("refused by \(level), not by \(String(describing: expected))")
      }
      return false
    }
    for level in chain where !misled.contains(level) && !facts.fits(level, r, n, severity) {
      fail("\(facts.held(level, r)) + \(n) does not fit into \(level), and was granted")
    }
    facts.obtained(who, r, n)
    books[one].noteMaxima(row)
    return true
  }

  /// What is granted is within the bounds of every level. Ahead comes what was wished for, unless
  /// half of an equal share of the room below the barrier is less.
  private func lookAtGrant(
    _ grant: Books.Grant, _ n: Int64, _ row: Row, _ severity: Severity, _ chain: [Int]
  ) {
    var ahead = grant.want
    for (level, before) in zip(chain, grant.before) {
      let most = facts.most(level, row.rawValue, severity)
      if most != Bounds.unlimited, before + grant.amount > most {
        fail("granted \(before) + \(grant.amount) above \(most) of \(level)")
      }
      let barrier = facts.most(level, row.rawValue, .hard)
      let room = barrier == Bounds.unlimited ? barrier : barrier - before
      let sharing =
        1 + facts.members.count { $0.beancounter == level }
        + facts.beancounters.count { $0.isThere && $0.parent == level }
      ahead = min(ahead, room / Int64(2 * sharing))
    }
    if grant.amount != max(n, ahead) {
      fail("granted \(grant.amount), and \(max(n, ahead)) is just")
    }
  }

  // MARK: Counts

  private func recount(_ one: Int, _ row: Row) {
    books[one].recount(row)
    let (out, held) = (books[one].ledger[row.resource].granted, facts.held(one, row.rawValue))
    if out != held { fail("counted \(held) in \(one), and \(out) are in the books") }
  }

  // MARK: Members and beancounters come and go

  private func join(_ one: Int, with has: [Int64] = [0, 0]) {
    facts.members.append(Facts.Member(beancounter: one, has: has))
    members.append(books[one].join(with: has))
  }

  private func fork(_ who: Int, _ row: Row) {
    guard charge(who, row, 1, 0, .hard) else { return }
    join(facts.members[who].beancounter)
    // Who lied may have been granted nothing for it.
    let one = facts.members[who].beancounter
    guard books[one].granted(members[who], row) >= 1 else { return }
    books[one].ledger.transfer(
      from: members[who].slot, to: members[members.count - 1].slot, row.resource, 1)
    facts.members[who].has[row.rawValue] -= 1
    facts.members[members.count - 1].has[row.rawValue] += 1
  }

  private func die(_ who: Int, leaving: Int64) {
    let member = facts.members[who]
    let left = member.has.map { min($0, leaving) }
    for r in 0..<2 { facts.beancounters[member.beancounter].left[r] += left[r] }
    forget(who, leaving: left)
  }

  private func forget(_ who: Int, leaving: [Int64] = [0, 0]) {
    books[facts.members[who].beancounter].leave(members[who], leaving: leaving)
    facts.members.remove(at: who)
    members.remove(at: who)
  }

  private func move(_ who: Int, to one: Int) {
    let has = facts.members[who].has
    forget(who)
    join(one, with: has)
    for row in Row.allCases {
      facts.noteMaxima(from: one, row.rawValue)
      books[one].noteMaxima(row)
    }
  }

  private func create(below parent: Int, _ bounds: Bounds) {
    guard facts.beancounters.count(where: \.isThere) < 5, facts.upwards(from: parent).count < 3
    else { return }
    facts.beancounters.append(Facts.Beancounter(parent: parent))
    facts.beancounters[facts.beancounters.count - 1].bounds = [bounds, bounds]
    books.append(newBooks(below: books[parent], bounds))
  }

  private func remove(_ one: Int) {
    guard facts.beancounters[one].parent != nil, facts.beancounters[one].left == [0, 0],
      !facts.members.contains(where: { $0.beancounter == one }),
      !facts.beancounters.contains(where: { $0.isThere && $0.parent == one })
    else { return }
    facts.beancounters[one].isThere = false
    books[one].remove()
  }

  /// All die, what they left is freed, and nothing is out anywhere.
  private func end() {
    while !members.isEmpty { die(0, leaving: 0) }
    for i in facts.beancounters.indices { facts.beancounters[i].left = [0, 0] }
    for row in Row.allCases { books[0].recount(row) }
    lookAtBooks()
    for one in books[0].subtree {
      for row in Row.allCases where one.ledger[row.resource].granted != 0 {
        fail("lost: \(one.ledger[row.resource].granted) are out to nobody")
      }
    }
  }

  // MARK: The laws that hold at every moment

  private func lookAtBooks() {
    for (i, fact) in facts.beancounters.enumerated() where fact.isThere { lookAt(i, fact) }
    for (i, fact) in facts.members.enumerated() {
      for row in Row.allCases where !fact.lies[row.rawValue] {
        let used = books[fact.beancounter].used(members[i], row)
        if used < fact.has[row.rawValue] {
          fail("the estimate lies low: \(used) < \(fact.has[row.rawValue]) of member \(i)")
        }
      }
    }
  }

  private func lookAt(_ i: Int, _ fact: Facts.Beancounter) {
    let one = books[i]
    for row in Row.allCases {
      let (r, account) = (row.rawValue, one.ledger[row.resource])
      var sum: Int64 = 0
      for slot in 0..<one.ledger.slots { sum += one.ledger.granted(slot, row.resource) }
      var known = one.ledger.granted(one.estate, row.resource)
      for member in one.members { known += one.granted(member, row) }
      for child in one.children {
        known += one.ledger.granted(child.place, row.resource)
        if one.ledger.granted(child.place, row.resource) != child.ledger[row.resource].granted {
          fail("lost between a beancounter and \(i)")
        }
      }
      if sum != account.granted || known != sum {
        fail("lost units: \(account.granted), \(sum), \(known) in \(i)")
      }
      if account.failcnt != fact.failcnt[r] {
        fail("failcnt \(account.failcnt) and not \(fact.failcnt[r]) of \(i)")
      }
      if account.maxheld > fact.maxheld[r], !fact.wasMisled[r] {
        fail("maxheld \(account.maxheld) was never held in \(i)")
      }
      if account.maxheld < fact.maxheld[r], !fact.wasMisled[r] {
        fail("maxheld \(account.maxheld) and not \(fact.maxheld[r]) of \(i)")
      }
      if account.bounds != fact.bounds[r] { fail("other bounds") }
    }
    let there = 1 + one.members.count + one.children.count
    if one.ledger.members != there { fail("\(one.ledger.members) members and not \(there)") }
    if Set(one.members.map(\.slot) + one.children.map(\.place) + [one.estate]).count != there {
      fail("two in one place")
    }
  }
}
