internal import Beancounters
internal import CLinux
internal import Command
internal import Wire
internal import Witness

/// The charge that needs no thought: there is room at every level, nobody wants a stack or a
/// failure, and no new maximum rests on more than this one member. It is granted from flat memory,
/// without an object, an allocation or a lock; what is not as simple goes the whole way
/// (Answer.swift), which grants by the same books. Benchmarks/run counts the calls.
extension Seats {
  /// Whether the question of this process has been answered: its units are in its cell.
  func grantAtOnce(_ question: UnsafePointer<bc_request>, from pid: Int32) -> Bool {
    guard question.pointee.kind == UInt16(BC_CHARGE.rawValue),
      question.pointee.severity == UInt8(BC_HARD.rawValue),
      question.pointee.flags & ~UInt16(BC_FLAG_NUMBERS) == 0, question.pointee.amount > 0,
      question.pointee.amount < 1 << 40,
      let resource = Resource(rawValue: Int(question.pointee.resource)), Seats.isSimple(resource),
      let seat = self[pid],
      seat.pointee.token == Token(question.pointee.token.0, question.pointee.token.1),
      question.pointee.thread == pid || isThread(question.pointee.thread, of: pid)
    else { return false }
    return seat.pointee.grant(resource, question.pointee.amount, newMaximum: !writesMaxima.pointee)
  }

  /// A member of another process namespace names its threads otherwise.
  private func isThread(_ thread: Int32, of pid: Int32) -> Bool {
    thread > 0
      && (clinux_syscall(Int(SYS_tgkill), Int(pid), Int(thread), 0, 0, 0) == 0
        || clinux_errno() == EPERM)
  }

  /// numproc has children that only notes tell of; pages are charged by the thousand.
  private static func isSimple(_ resource: Resource) -> Bool {
    switch resource {
    case .numfile, .numtcpsock, .numothersock, .numpty, .numinotify, .numflock, .numsiginfo: true
    default: false
    }
  }
}

extension Seat {
  /// The levels above are visited leaf to root four times: for bounds, for room, for maxima, and to
  /// book.
  func grant(_ resource: Resource, _ n: Int64, newMaximum: Bool) -> Bool {
    guard resource != .numfile || !isWatched else { return false }
    let cell = bc_page_cell(page, UInt32(resource.rawValue))!
    let n = resource == .numfile ? Accounting.shortfall(cell, n) : n
    let had = level.pointee.ledger.granted(slot, resource)
    guard let batch = batch(resource, n, had), let amount = offer(resource, n, n + batch) else {
      return false
    }
    let use = Use(cell, granted: had, peakUpTo: past[resource].peakUpTo)
    let maximum = maximum(resource, use, amount)
    guard maximum == .old || (maximum == .own && newMaximum && isSure(resource)) else {
      return false
    }
    guard passesPoints(resource, had + amount) else { return false }
    book(resource, amount, maximum == .own ? use : nil)
    past[resource].lastUsed = use.now
    let before = bc_add(&cell.pointee.credit, amount)
    bc_store(&cell.pointee.low, Member.unspent(before, granted: had + amount) + amount)
    past[resource].peakUpTo = bc_is_unsure(cell) ? .min : .max
    bc_store(&cell.pointee.granted, had + amount)
    level.pointee.work.requests += 1
    return true
  }

  /// What a cell says was charged through it.
  struct Use {
    let now: Int64
    /// The most at one moment since the last look.
    let peak: Int64

    init(_ cell: UnsafeMutablePointer<bc_cell>, granted: Int64, peakUpTo: Int64) {
      now = granted - Member.unspent(bc_load(&cell.pointee.credit), granted: granted)
      let low = bc_load(&cell.pointee.low)
      peak = low <= peakUpTo ? max(now, granted - (low >= 0 && low <= granted ? low : 0)) : now
    }
  }

  private func offer(_ resource: Resource, _ n: Int64, _ want: Int64) -> Int64? {
    var amount = want
    var next: UnsafeMutablePointer<Level>? = level
    while let level = next {
      guard (level.pointee.injecting | level.pointee.slow) & (1 << UInt32(resource.rawValue)) == 0,
        let offer = level.pointee.ledger.offer(resource, least: n, want: want, severity: .hard)
      else { return nil }
      amount = min(amount, offer)
      next = level.pointee.parent
    }
    return amount
  }

  enum Maximum {
    case old
    /// A new one, to which nobody else adds.
    case own
    /// Perhaps a new one, that others have a part in.
    case shared
  }

  private func maximum(_ resource: Resource, _ use: Use, _ amount: Int64) -> Maximum {
    var found = Maximum.old
    var used = use.peak
    var isAlone = true
    var below = slot
    var next: UnsafeMutablePointer<Level>? = level
    while let level = next {
      let account = level.pointee.ledger[resource]
      if account.granted + amount <= account.maxheld {
        used = account.granted
        isAlone = false
      } else {
        let others = level.pointee.used(resource, without: below)
        used += others
        isAlone = isAlone && others == 0
        if used > account.maxheld {
          guard isAlone else { return .shared }
          found = .own
        }
      }
      (below, next) = (level.pointee.place, level.pointee.parent)
    }
    return found
  }

  /// Whether what its cell says is the truth: as Recounts.isCertain has it, for one that is asking
  /// and so is alive.
  private func isSure(_ resource: Resource) -> Bool {
    resource != .numflock && resource != .numsiginfo
      && bc_page_at_rest(page, UInt32(resource.rawValue))
  }

  /// What may be granted ahead of a charge (Obtained.swift); nil where the whole way has to say.
  private func batch(_ resource: Resource, _ n: Int64, _ had: Int64) -> Int64? {
    let batch = Accounting.batch(resource)
    guard isBounded(resource) else { return batch }
    return past[resource].course.map { $0.pointee.ahead(at: had + n, batch: batch) }
  }

  private func isBounded(_ resource: Resource) -> Bool {
    var next: UnsafeMutablePointer<Level>? = level
    while let level = next {
      if level.pointee.ledger[resource].bounds.ceiling(.hard) != Bounds.unlimited { return true }
      next = level.pointee.parent
    }
    return false
  }

  /// Whether no witness is due: no point falls on the charge, nor on what is granted ahead of it.
  private func passesPoints(_ resource: Resource, _ to: Int64) -> Bool {
    past[resource].course?.pointee.pass(to: to) ?? true
  }

  /// `own`: use that is a new maximum.
  private func book(_ resource: Resource, _ amount: Int64, _ own: Use?) {
    var below = slot
    var next: UnsafeMutablePointer<Level>? = level
    while let level = next {
      level.pointee.ledger.set(
        below, resource, to: level.pointee.ledger.granted(below, resource) + amount)
      level.pointee.asked[resource.rawValue] += 1
      if let own {
        let account = level.pointee.ledger[resource]
        level.pointee.ledger.observe(
          resource,
          held: min(max(own.now, min(own.peak, account.bounds.ceiling(.soft))), account.granted))
      }
      (below, next) = (level.pointee.place, level.pointee.parent)
    }
  }
}
