internal import Beancounters
private import CLinux
internal import Wire

/// A process in a beancounter, as the server knows it.
struct Member {
  enum Coverage {
    /// Forked, or about to run an image that has not said hello.
    case expected
    case joined
    /// The shim is not in it: counted in full, held by the kernel at its lease.
    case uncovered
  }

  let pid: Int32
  let slot: Ledger.Slot
  var pidfd: Int32
  var page: UnsafeMutablePointer<bc_page>?
  var coverage = Coverage.expected
  /// Pages that RLIMIT_DATA lets it have; 0 while memory has no bound.
  var lease: Int64 = 0
  /// Another user's: its limits are set by its own shim, from our answers.
  var setsOwnLease = false
  /// Pages of MAP_NORESERVE mappings that were let beyond the lease.
  var exempt: Int64 = 0
  /// The program's own RLIMIT_DATA in bytes; −1 when it set none.
  var ownLimit: Int64 = -1
  /// Children announced and not yet seen: each has a numproc, and a copy of the lease, charged here.
  var pendingForks: Int64 = 0
  var hasForked = false
  /// The last recount put down to it what others hold too.
  var holdsShared = false
  /// What it said it would run, until the new image says hello.
  var execPath: String?
  var isZombie = false
  /// The descriptor of the question being answered: the shim's, not the program's.
  var question: Int32 = -1

  func cell(_ resource: Resource) -> UnsafeMutablePointer<bc_cell>? {
    page.map { bc_page_cell($0, UInt32(resource.rawValue)) }
  }

  /// What it has charged and not given back, from its cell: never less than the truth.
  func used(_ resource: Resource, granted: Int64) -> Int64 {
    guard let cell = cell(resource) else { return granted }
    let credit = bc_load(&cell.pointee.credit)
    return granted - (credit >= 0 && credit <= granted ? credit : 0)
  }

  /// The most it had in use since the server last looked.
  func peak(_ resource: Resource, granted: Int64) -> Int64 {
    guard let cell = cell(resource) else { return granted }
    let low = bc_load(&cell.pointee.low)
    return max(granted - (low >= 0 && low <= granted ? low : 0), used(resource, granted: granted))
  }

  /// Takes the unspent credit; a corrupted word is worth nothing, so it costs only this member.
  func takeCredit(_ resource: Resource, granted: Int64, leaving: Int64 = 0) -> Int64 {
    guard let cell = cell(resource) else { return 0 }
    let credit = bc_exchange(&cell.pointee.credit, leaving)
    return credit >= 0 && credit <= granted ? credit : 0
  }

  mutating func dropPage() {
    if let page { munmap(page, Int(BC_PAGE_SIZE)) }
    page = nil
  }
}
