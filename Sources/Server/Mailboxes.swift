internal import CLinux
internal import Recount
internal import Wire

/// Questions that lie in the pages of members which have no socket. Every mailbox is looked at with
/// each tick; one that has been used is slept on from then on, as far as one call can sleep on
/// them.
final class Mailboxes {
  typealias Page = UnsafeMutablePointer<bc_page>

  /// Takes the question there is and answers it.
  var answer: (Accounting, Page, Int32) -> Void = { _, _, _ in }
  var watch: (Int32, @escaping () -> Void) -> Void = { _, _ in }
  private var watched: [Page: (of: Accounting, pid: Int32)] = [:]
  private var isWatching = false

  /// … of a member.
  func look(at page: Page, of one: Accounting, _ pid: Int32) {
    guard bc_load32(bc_page_mail(page)) == BC_MAIL_ASKED.rawValue else { return }
    sleep(on: page, of: one, pid)
    answer(one, page, pid)
  }

  func sleep(on page: Page, of one: Accounting, _ pid: Int32) {
    if watched[page] != nil {
      watched[page] = (one, pid)
    } else if clinux_watch(bc_page_mail(page)) {
      watched[page] = (one, pid)
      start()
    }
  }

  private func start() {
    guard !isWatching else { return }
    isWatching = true
    let event = clinux_watcher(Int32(BC_MAIL_ASKED.rawValue))
    watch(event) { [unowned self] in
      var times: UInt64 = 0
      _ = read(event, &times, 8)
      for (page, who) in watched where bc_load32(bc_page_mail(page)) == BC_MAIL_ASKED.rawValue {
        who.pid > 0 ? answer(who.of, page, who.pid) : who.of.readSpares()
      }
    }
  }

  /// Nobody's any more.
  func forget(_ page: Page) {
    if watched.removeValue(forKey: page) != nil { clinux_unwatch(bc_page_mail(page)) }
  }
}

/// The spare pages of one memfd: children of a muted member take them for themselves.
final class Spares {
  let base: Mailboxes.Page
  private var takers = [Int32?](repeating: nil, count: Int(BC_SPARES))
  /// For how many looks one has been claimed by nobody who is known.
  private var claims = [Int](repeating: 0, count: Int(BC_SPARES))
  private static let patience = 250

  private let end: () -> Void

  init(of base: Mailboxes.Page, end: @escaping () -> Void) {
    self.base = base
    self.end = end
  }

  /// No member is left that could take one, nor the one that they came with.
  deinit { end() }

  func page(_ i: Int) -> Mailboxes.Page { bc_page_spare(base, UInt32(i)) }

  enum State { case free, taken, claimed, abandoned }

  func state(_ i: Int) -> State {
    if takers[i] != nil { return .taken }
    guard bc_load32(bc_page_claimed(page(i))) != 0 else { return .free }
    claims[i] += 1
    return claims[i] > Spares.patience ? .abandoned : .claimed
  }

  func give(_ i: Int, to pid: Int32) { takers[i] = pid }

  /// Whoever had it has ended, or runs another image.
  func free(_ i: Int) {
    takers[i] = nil
    claims[i] = 0
    memset(page(i), 0, Int(BC_PAGE_SIZE))
  }
}

extension Accounting {
  /// With each tick.
  func readMail(of pid: Int32) {
    if let member = members[pid], let page = member.page, !member.isZombie {
      learnMuted(pid)
      host.mailboxes.look(at: page, of: self, pid)
    }
    checkSilence(pid)
  }

  /// What its page says of it, which its children inherit.
  func learnMuted(_ pid: Int32) {
    guard let member = members[pid], let page = member.page else { return }
    let muted = bc_load32(bc_page_muted(page))
    members[pid]?.silence = muted
    if muted != 0, member.spares == nil { members[pid]?.spares = host.pages.spares(of: page) }
  }

  func readSpares() {
    var known: [Spares] = []
    for case let spares? in members.values.map(\.spares)
    where !known.contains(where: { $0 === spares }) { known.append(spares) }
    for spares in known { readSpares(spares) }
  }

  private func readSpares(_ spares: Spares) {
    var next = true
    for i in 0..<Int(BC_SPARES) {
      let page = spares.page(i)
      switch spares.state(i) {
      case .taken: break
      case .free:
        if next { host.mailboxes.sleep(on: page, of: self, 0) }  // the next child takes the lowest
        next = false
      case .claimed:
        guard bc_load32(bc_page_mail(page)) == BC_MAIL_ASKED.rawValue,
          let pid = taker(of: spares, i)
        else { break }
        spares.give(i, to: pid)
        members[pid]?.spare = i
        host.mailboxes.look(at: page, of: self, pid)
      case .abandoned: if taker(of: spares, i) == nil { spares.free(i) }
      }
    }
    if bc_exchange32(bc_page_out_of_spares(spares.page(0)), 0) != 0 {
      for member in Array(members.values)
      where member.spares === spares && member.page == nil && !member.isZombie {
        becomeSealed(member.pid)
      }
    }
  }

  /// The child that has claimed a spare page has it mapped by itself. Numbers that it could name
  /// may be of a namespace of its own.
  private func taker(of spares: Spares, _ i: Int) -> Int32? {
    for member in Array(members.values) where member.spares === spares && !member.isZombie {
      takeNotes(of: member.pid)
      for child in Procfs.children(member.pid) where host.owner[child] == nil {
        adopt(child, parent: member.pid)
      }
    }
    return members.values.first { member in
      member.spares === spares && member.page == nil && !member.isZombie
        && Procfs.maps(
          member.pid, "/memfd:beancounter", from: (i + 1) * Int(BC_PAGE_SIZE),
          size: Int(BC_PAGE_SIZE))
    }?.pid
  }

  /// A new image in which nobody can ask: it has none of its family's pages.
  private func checkSilence(_ pid: Int32) {
    guard let member = members[pid], member.silence != 0, !member.isSealed, member.page == nil,
      !member.isZombie
    else { return }
    guard !Procfs.maps(pid, "/memfd:beancounter"), !Procfs.sharesMemoryWithParent(pid),
      Procfs.executable(pid) != nil
    else { return }
    members[pid]?.spares = nil
    becomeSealed(pid)
  }
}
