internal import Beancounters
internal import Command
internal import Wire

/// What charges change of one beancounter, laid flat and at a place of its own, so that a charge
/// goes from the leaf to the root without an object on its way.
struct Level: ~Copyable {
  var ledger: Ledger
  var work = Report.Work()
  /// Rows with failures that a test asked for, as bits.
  var injecting: UInt32 = 0
  /// … and those whose cells are frozen (Modes).
  var slow: UInt32 = 0
  /// By row: charges that were asked for since credit was last counted (Slow).
  let asked: UnsafeMutablePointer<UInt64>
  /// By row.
  let paces: UnsafeMutablePointer<Obtained.Pace?>
  let parent: UnsafeMutablePointer<Level>?
  /// … and the slot there.
  let place: Ledger.Slot
  /// The members' pages, by slot; null where the whole grant counts as used.
  private var pages: UnsafeMutablePointer<UnsafeMutablePointer<bc_page>?>
  private var capacity = 0

  init(bounds: [Resource: Bounds], parent: UnsafeMutablePointer<Level>?, place: Ledger.Slot) {
    ledger = Ledger(bounds: bounds)
    (self.parent, self.place) = (parent, place)
    paces = .allocate(capacity: Int(BC_RESOURCES.rawValue))
    paces.initialize(repeating: nil, count: Int(BC_RESOURCES.rawValue))
    asked = .allocate(capacity: Int(BC_RESOURCES.rawValue))
    asked.initialize(repeating: 0, count: Int(BC_RESOURCES.rawValue))
    pages = .allocate(capacity: 0)
  }

  deinit {
    paces.deallocate()
    asked.deallocate()
    pages.deallocate()
  }

  mutating func set(_ slot: Ledger.Slot, page: UnsafeMutablePointer<bc_page>?) {
    if slot >= capacity {
      let more = max(4, ledger.slots, capacity * 2)
      let new = UnsafeMutablePointer<UnsafeMutablePointer<bc_page>?>.allocate(capacity: more)
      new.initialize(repeating: nil, count: more)
      new.update(from: pages, count: capacity)
      pages.deallocate()
      (pages, capacity) = (new, more)
    }
    pages[slot] = page
  }

  /// At least what all but one slot have in use.
  func used(_ resource: Resource, without one: Ledger.Slot) -> Int64 {
    var total: Int64 = 0
    for slot in 0..<ledger.slots where slot != one {
      let granted = ledger.granted(slot, resource)
      guard granted > 0 else { continue }
      guard slot < capacity, let page = pages[slot] else {
        total += granted
        continue
      }
      let credit = bc_load(&bc_page_cell(page, UInt32(resource.rawValue)).pointee.credit)
      total += granted - Member.unspent(credit, granted: granted)
    }
    return total
  }
}
