internal import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// Descriptors counted by the kernel's figures. A description that members of several beancounters
/// of one tree have is held by the first of them, so the tree is counted as one. Only those are
/// looked at whose own books may be wrong: who is sure and shares nothing holds what was charged to
/// it.
extension Accounting {
  private typealias Living = (of: Accounting, member: Member)

  /// `all`: also those that are sure, for what came by without being charged (libc's own files,
  /// system calls of its own).
  func recountDescriptions(all: Bool) { holdOthers { countDescriptions(all: all) } }

  private func countDescriptions(all: Bool) {
    work.recounts += 1
    root.knowEveryone()
    let rows = Accounting.descriptions
    var frozen = root.living()
    let unsure = rows.map { freezeToCount(frozen, $0) }
    // A child that is being made has what its parent closes now, and nobody can look at it before it
    // is there: so forks end first, and none begins.
    let mayFork = frozen
    for (one, member) in mayFork { one.freeze(member, .numproc) }
    drain(rows + [.numproc], frozen.map(\.member))
    defer {
      for (one, member) in mayFork where one.isMember(member.pid, member.slot) {
        if let now = one.members[member.pid], !now.isZombie { one.unfreeze(now, .numproc) }
      }
    }
    let before = Dictionary(
      uniqueKeysWithValues: frozen.map { m in (m.member.pid, rows.map { pendingNow(m.member, $0) })
      })
    let isSkipped = { (one: Living) in
      !all && one.member.isSteady
        && one.member.page.map { bc_page_shares_nothing($0) } == true
        && !unsure.contains { $0.contains(one.member.pid) }
    }
    var looked = frozen.filter { !isSkipped($0) }
    var pids: Set<Int32> = []
    var found: Descriptions?
    var isSeen = true
    var moved: [Int32: Int64] = [:]
    var asks: Set<Int32> = []
    // Whoever came or went meanwhile may have what one of the others no longer had when it was
    // looked at; so may a number that was duplicated meanwhile. Then, and where a question's socket
    // may have been taken for the program's, once more is better.
    for turn in 0..<4 {
      for (_, member) in looked where pids.insert(member.pid).inserted {
        if let page = member.page { bc_exchange32(bc_page_alone(page), 1) }
      }
      var own: [Own] = []
      (moved, asks) = ([:], [])
      let seen = root.count(looked, &own, &asks, &moved)
      root.knowEveryone()
      root.findChildren(of: looked)
      // … or where one takes long, what was not found may be with its child.
      for (one, member) in looked where one.members[member.pid].map(one.isForking) == true {
        moved[member.pid] = .max
      }
      // Who has forked meanwhile is no longer alone.
      let now = root.living().filter { pids.contains($0.member.pid) || !isSkipped($0) }
      let isSame = now.map(\.member.pid) == looked.map(\.member.pid)
      isSeen = asks.isEmpty && moved.isEmpty
      looked = now
      if isSame, turn > 0 || isSeen {
        found = seen
        for one in own { one.restore() }
        break
      }
    }
    var unused: [Own] = []
    let counts = found ?? root.count(looked, &unused, &asks, &moved)
    if found == nil { isSeen = false }
    let looks = Set(looked.map(\.member.pid))
    frozen = root.living().filter { !looks.contains($0.member.pid) }
    root.put(looked, counts, rows, before, unsure, moved, asks)
    var counted = [[ObjectIdentifier: Int64]](repeating: [:], count: rows.count)
    for (k, r) in rows.enumerated() {
      for (i, one) in looked.enumerated() {
        counted[k][ObjectIdentifier(one.of), default: 0] += counts.perProcess[i].figures[k]
      }
      for (one, member) in frozen {
        counted[k][ObjectIdentifier(one), default: 0] += one.ledger.granted(member.slot, r)
        one.unfreeze(member, r)
      }
      if isSeen { root.observe(r, counted: counted[k]) }
    }
  }

  /// Members of the whole tree, parents first: what a child inherited is put down to whoever opened
  /// it.
  private func living() -> [Living] {
    subtree.flatMap { one in
      one.members.values.filter { !$0.isZombie }.map { (of: one, member: $0) }
    }
    .sorted { $0.member.pid < $1.member.pid }
  }

  /// A descriptor that its process made, and that a fork made unsure: nobody else was found to have
  /// it. It is its process's own again, of the generation from before the look, so that a fork
  /// since makes it one that may be shared. Not before it is known that no child was overlooked.
  private struct Own {
    var word: UnsafeMutablePointer<UInt16>
    var was: UInt16
    var generation: UInt32
    func restore() {
      _ = bc_cas16(word, was, UInt16(truncatingIfNeeded: generation << 3) | was & 7)
    }
  }

  /// `asks`: where the shim's own socket may be among what was counted. `moved`: how often each
  /// duplicated a descriptor meanwhile, and closed what was to be looked at, perhaps.
  private func count(
    _ looked: [Living], _ own: inout [Own], _ asks: inout Set<Int32>, _ moved: inout [Int32: Int64]
  ) -> Descriptions {
    var mayAskNow: Set<Int32> = []
    defer { asks = mayAskNow }
    func duplicated(_ one: Living) -> UInt64 { one.member.page.map { bc_page_duplicated($0) } ?? 0 }
    let before = looked.map(duplicated)
    defer {
      for (one, was) in zip(looked, before) {
        let now = duplicated(one)
        guard now != was else { continue }
        moved[one.member.pid] = Int64(clamping: (now >> 16 &- was >> 16) &+ (was & 0xffff))
      }
    }
    let generations = looked.map { one in one.member.page.map { bc_page_generation($0) } ?? 0 }
    var found: [Own] = []
    defer { own = found }
    return Descriptors.count(
      looked.map { one, member in
        .init(pid: member.pid, known: Accounting.known(member)) {
          let now = one.members[member.pid] ?? member
          if now.questionMoves || one.mayAsk(now) { mayAskNow.insert(now.pid) }
          return Accounting.asking(now)
        }
      },
      outside: outsides, pause: host.pause,
      alone: { i, fd, kind in
        guard let page = looked[i].member.page, looked[i].member.spare == nil,
          let word = bc_page_word(page, fd)
        else { return }
        let was = bc_load16(word)
        guard was & 7 != 0, was & 7 != UInt16(BC_OWNED_FLOCKED.rawValue) else { return }
        found.append(Own(word: word, was: was, generation: generations[i]))
      })
  }

  /// What the words of its descriptors say, as far as they can be believed: not once it has made
  /// system calls of its own.
  private static func known(_ member: Member) -> (Int32) -> Descriptors.Known {
    guard let page = member.page, member.spare == nil, page.pointee.raw_calls == 0 else {
      return { _ in .nothing }
    }
    return { fd in
      guard let word = bc_page_word(page, fd) else { return .nothing }
      let was = bc_load16(word)
      guard was & 7 != 0 else {
        return bc_word_is_own_group(page, was, bc_page_generation(page)) ? .grouped : .nothing
      }
      guard UInt32(was >> 3) == bc_page_generation(page) else { return .made }
      switch bc_owned(rawValue: UInt32(was & 7)) {
      case BC_OWNED_FILE, BC_OWNED_FLOCKED, BC_OWNED_WATCHED: return .own(.file)
      case BC_OWNED_TCP: return .own(.tcpSocket)
      case BC_OWNED_OTHER: return .own(.otherSocket)
      case BC_OWNED_PTY: return .own(.terminal)
      case BC_OWNED_INOTIFY: return .own(.inotify)
      default: return .nothing
      }
    }
  }

  /// Children of those that are making some, before their parents can say so.
  private func findChildren(of looked: [Living]) {
    for (one, member) in looked where one.isForking(member) {
      for child in Procfs.children(member.pid) where host.owner[child] == nil {
        one.adopt(child, parent: member.pid)
      }
    }
  }

  private func put(
    _ looked: [Living], _ found: Descriptions, _ rows: [Resource], _ before: [Int32: [Int32]],
    _ unsure: [Set<Int32>], _ moved: [Int32: Int64], _ asks: Set<Int32>
  ) {
    // Who has more than was out to it has it from another, of whom then not all that was out to it is
    // on its way still.
    let passedOn = rows.enumerated().map { k, r in
      zip(looked, found.perProcess).contains { one, seen in
        seen.figures[k] > one.of.ledger.granted(one.member.slot, r)
      }
    }
    for one in subtree { for r in rows { one.put(one.estate, r, to: 0) } }
    for (i, (one, member)) in looked.enumerated() where one.members[member.pid]?.isZombie == false {
      var figures = found.perProcess[i].figures
      one.members[member.pid]?.holdsShared = found.shares[i]
      one.members[member.pid]?.hasInherited = false
      one.members[member.pid]?.hasForced = false
      if let page = member.page, !found.isAlone[i] { bc_exchange32(bc_page_alone(page), 0) }
      for (k, r) in rows.enumerated() {
        // Each time one may have been missed, of those that were out to it.
        if let times = moved[member.pid], let cell = member.cell(r) {
          let missing = max(0, one.ledger.granted(member.slot, r) - figures[k])
          figures[k] += min(missing, max(1, times))
          _ = bc_exchange32(&cell.pointee.uncertain, 1)
        }
        if asks.contains(member.pid), figures[k] > one.ledger.granted(member.slot, r),
          let cell = member.cell(r)
        {
          _ = bc_exchange32(&cell.pointee.uncertain, 1)
        }
        one.thaw(
          member, r, counted: figures[k],
          pendingBefore: before[member.pid]?[k] ?? pendingNow(member, r),
          wasSure: !passedOn[k] && before[member.pid] != nil && !unsure[k].contains(member.pid))
      }
    }
  }
}

extension Descriptions.Count {
  /// In the order of `Accounting.descriptions`.
  fileprivate var figures: [Int64] { [tcpSockets, otherSockets, files, terminals, inotify] }
}
