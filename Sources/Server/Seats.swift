internal import Beancounters
internal import CLinux
internal import Wire

/// A member with a page, as a charge needs it.
struct Seat {
  let token: Token
  let slot: Ledger.Slot
  let page: UnsafeMutablePointer<bc_page>
  let level: UnsafeMutablePointer<Level>
  let past: Pasts
  /// A point is to be had by whoever opens the next file (Watch).
  var isWatched = false
}

/// All of them by process id: one word for each that the kernel can give (PID_MAX_LIMIT,
/// include/linux/threads.h), of which those pages take memory that are used. One for each server,
/// for as long as it lives.
struct Seats {
  private let byPid: UnsafeMutablePointer<UnsafeMutablePointer<Seat>?>
  /// New maxima are to be written down before the program goes on: not a matter for a charge at
  /// once.
  let writesMaxima = UnsafeMutablePointer<Bool>.allocate(capacity: 1)
  private static var most: Int { 4 << 20 }

  init() {
    let size = Seats.most * MemoryLayout<UnsafeMutablePointer<Seat>?>.stride
    // Shared, for COMMAND starts under a lease that is for a moment that of this process, and
    // counts what is private.
    let memory = mmap(
      nil, size, PROT_READ | PROT_WRITE, MAP_SHARED | Int32(MAP_ANONYMOUS) | Int32(MAP_NORESERVE),
      -1, 0)
    guard let memory, memory != UnsafeMutableRawPointer(bitPattern: -1) else {
      fatalError("no memory for the table of members")
    }
    writesMaxima.initialize(to: false)
    byPid = memory.bindMemory(to: UnsafeMutablePointer<Seat>?.self, capacity: Seats.most)
  }

  subscript(_ pid: Int32) -> UnsafeMutablePointer<Seat>? {
    pid > 0 && pid < Seats.most ? byPid[Int(pid)] : nil
  }

  func put(_ pid: Int32, _ seat: Seat?) {
    guard pid > 0, pid < Seats.most else { return }
    if let old = byPid[Int(pid)] { old.deallocate() }
    byPid[Int(pid)] = nil
    guard let seat else { return }
    let place = UnsafeMutablePointer<Seat>.allocate(capacity: 1)
    place.initialize(to: seat)
    byPid[Int(pid)] = place
  }
}

extension Accounting {
  func takeSeat(_ member: Member) {
    guard let page = member.page else { return }
    level.pointee.set(member.slot, page: page)
    for r in Accounting.things {
      member.past[r].begun = bc_begun(bc_page_cell(page, UInt32(r.rawValue)))
    }
    host.seats.put(
      member.pid,
      Seat(
        token: token, slot: member.slot, page: page, level: level, past: member.past,
        isWatched: watch.isArmed(member.pid)))
  }

  /// Before its page goes.
  func leaveSeat(_ pid: Int32) {
    guard let member = members[pid], member.page != nil else { return }
    level.pointee.set(member.slot, page: nil)
    host.seats.put(pid, nil)
  }
}
