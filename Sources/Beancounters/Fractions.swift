/// Resident pages shared out among the beancounters that have them, by the halving rule of the
/// OpenVZ kernels (RSS fractions, 2.6.18 kernel/ub/ub_page_bc.c): 1; ½ ½; ½ ¼ ¼; ¼ ¼ ¼ ¼. An
/// arrival halves the share of one other holder only, so that it costs the same however many there
/// are. Pure: no I/O, no clock.
///
/// Laws: the shares of a page add up to exactly 1; along its list, from the head, they halve at
/// most once and never grow.
///
/// A page with one holder, which is nearly every page, is 16 bytes in a hash table; the lists of
/// the others are rings in a pool, 20 bytes a holder, and 12 in the table that finds a holder on
/// its ring.
public struct Fractions: Sendable {
  /// A page by what it is, not by who maps it: an index in pages into a file.
  public struct Page: Hashable, Sendable {
    public var file: File
    public var index: UInt32
    public init(file: File, index: UInt32) {
      self.file = file
      self.index = index
    }
  }

  /// A file as `open` knows it; the number stays the same while a page of it is held.
  public struct File: Hashable, Sendable { var number: UInt32 }

  /// A beancounter, numbered from 0 by the caller. At most 65 535.
  public typealias Holder = Int

  /// How many units of held make a page.
  public static let unitsPerPage: UInt64 = 1 << 24
  private static let pageShift: UInt64 = 24

  private struct Key: Hashable { var device: UInt64, inode: UInt64 }

  /// One holder's entry on a page's ring: what it has is 2^-shift, however many of its processes
  /// map the page.
  private struct Share {
    var holder: UInt16
    var shift: UInt8
    var count: UInt32
    var next: UInt32
    var previous: UInt32
  }

  /// The only holder of a page, or (shared) the head of its ring.
  private struct Record {
    var holderOrHead: UInt32
    var count: UInt32
    static let shared: UInt32 = .max
  }

  private struct Place: Hashable {
    var page: Page
    var holder: UInt16
  }

  private var files: [Key: UInt32] = [:]
  private var keys: [Key] = []
  private var pagesOf: [Int] = []
  private var freeFiles: [UInt32] = []
  private var records: [Page: Record] = [:]
  private var pool: [Share] = []
  private var freeShares: [UInt32] = []
  private var places: [Place: UInt32] = [:]  // of holders of shared pages
  private var units: [UInt64] = []

  public init() {}

  /// The file of this identity, named for the first time or not.
  public mutating func file(device: UInt64, inode: UInt64) -> File {
    let key = Key(device: device, inode: inode)
    if let number = files[key] { return File(number: number) }
    let number: UInt32
    if let free = freeFiles.popLast() {
      number = free
      keys[Int(number)] = key
    } else {
      number = UInt32(keys.count)
      keys.append(key)
      pagesOf.append(0)
    }
    files[key] = number
    return File(number: number)
  }

  /// Forgets a file of which no page is held; its number may then be another's. False, and nothing
  /// done, while one is.
  @discardableResult public mutating func forget(_ file: File) -> Bool {
    let i = Int(file.number)
    guard i < keys.count, files[keys[i]] == file.number, pagesOf[i] == 0 else { return false }
    files[keys[i]] = nil
    freeFiles.append(file.number)
    return true
  }

  /// What the beancounter has, in units of 2^-24 of a page: exact, since no share is smaller than
  /// that (a page would need more than 2^24 holders).
  public func held(_ holder: Holder) -> UInt64 { holder < units.count ? units[holder] : 0 }

  /// Whole pages, rounded down, as the kernels showed them.
  public func pages(_ holder: Holder) -> UInt64 { held(holder) >> Fractions.pageShift }

  /// Pages with at least one holder.
  public var pageCount: Int { records.count }

  /// The shares of a page from the head of its list: who, and the exponent s of its 2^-s.
  public func shares(_ page: Page) -> [(holder: Holder, shift: Int, count: Int)] {
    guard let record = records[page] else { return [] }
    guard record.count == Record.shared else {
      return [(Int(record.holderOrHead), 0, Int(record.count))]
    }
    var found: [(holder: Holder, shift: Int, count: Int)] = []
    var at = record.holderOrHead
    repeat {
      let share = pool[Int(at)]
      found.append((Int(share.holder), Int(share.shift), Int(share.count)))
      at = share.next
    } while at != record.holderOrHead
    return found
  }

  /// One more process of `holder` has the page. The first one takes half of what the head of the
  /// list has.
  public mutating func add(_ page: Page, to holder: Holder) {
    precondition(holder >= 0 && holder < 65_536, "a holder is a number from 0 to 65 535")
    if holder >= units.count { units += Array(repeating: 0, count: holder + 1 - units.count) }
    guard var record = records[page] else {
      records[page] = Record(holderOrHead: UInt32(holder), count: 1)
      pagesOf[Int(page.file.number)] += 1
      units[holder] += Fractions.unitsPerPage
      return
    }
    if record.count != Record.shared {
      if record.holderOrHead == UInt32(holder) {
        record.count += 1
        records[page] = record
        return
      }
      let head = newShare(page, UInt16(record.holderOrHead), shift: 0, count: record.count)
      pool[Int(head)].next = head
      pool[Int(head)].previous = head
      record = Record(holderOrHead: head, count: Record.shared)
      records[page] = record
    }
    if let at = places[Place(page: page, holder: UInt16(holder))] {
      pool[Int(at)].count += 1
    } else {
      arrive(page, UInt16(holder), head: record.holderOrHead)
    }
  }

  /// One process of `holder` less has the page; the last one gives its share back. False, and
  /// nothing done, when none had.
  @discardableResult public mutating func remove(_ page: Page, from holder: Holder) -> Bool {
    guard var record = records[page] else { return false }
    if record.count != Record.shared {
      guard Int(record.holderOrHead) == holder else { return false }
      record.count -= 1
      records[page] = record.count > 0 ? record : nil
      if record.count == 0 {
        units[holder] -= Fractions.unitsPerPage
        pagesOf[Int(page.file.number)] -= 1
      }
      return true
    }
    guard let small = UInt16(exactly: holder), let at = places[Place(page: page, holder: small)]
    else { return false }
    pool[Int(at)].count -= 1
    if pool[Int(at)].count == 0 { leave(page, at, head: record.holderOrHead) }
    return true
  }

  // MARK: The rule

  /// The head is halved and becomes the tail, with the newcomer behind it: the ring turns by one.
  private mutating func arrive(_ page: Page, _ holder: UInt16, head: UInt32) {
    pool[Int(head)].shift += 1
    let shift = pool[Int(head)].shift
    let half = Fractions.unitsPerPage >> UInt64(shift)
    units[Int(pool[Int(head)].holder)] -= half
    units[Int(holder)] += half
    let new = newShare(page, holder, shift: shift, count: 1)
    let after = pool[Int(head)].next
    pool[Int(new)].previous = head
    pool[Int(new)].next = after
    pool[Int(head)].next = new
    pool[Int(after)].previous = new
    // With one on the ring, `after` was the head itself, and the head stays where it is.
    records[page] = Record(holderOrHead: after, count: Record.shared)
  }

  /// What leaves is given to the tail, which has the least; to two of them where what left was
  /// twice as big.
  private mutating func leave(_ page: Page, _ at: UInt32, head: UInt32) {
    let gone = pool[Int(at)]
    units[Int(gone.holder)] -= Fractions.unitsPerPage >> UInt64(gone.shift)
    places[Place(page: page, holder: gone.holder)] = nil
    freeShares.append(at)
    pool[Int(gone.previous)].next = gone.next
    pool[Int(gone.next)].previous = gone.previous
    var head = at == head ? gone.next : head
    let twice = pool[Int(pool[Int(head)].previous)].shift > gone.shift
    for _ in 0..<(twice ? 2 : 1) {
      head = pool[Int(head)].previous  // the tail, and with more, the new head
      units[Int(pool[Int(head)].holder)] += Fractions.unitsPerPage >> UInt64(pool[Int(head)].shift)
      pool[Int(head)].shift -= 1
    }
    if pool[Int(head)].next != head {
      records[page] = Record(holderOrHead: head, count: Record.shared)
      return
    }
    let last = pool[Int(head)]
    records[page] = Record(holderOrHead: UInt32(last.holder), count: last.count)
    places[Place(page: page, holder: last.holder)] = nil
    freeShares.append(head)
  }

  private mutating func newShare(_ page: Page, _ holder: UInt16, shift: UInt8, count: UInt32)
    -> UInt32
  {
    let share = Share(holder: holder, shift: shift, count: count, next: 0, previous: 0)
    let at: UInt32
    if let free = freeShares.popLast() {
      at = free
      pool[Int(free)] = share
    } else {
      at = UInt32(pool.count)
      pool.append(share)
    }
    places[Place(page: page, holder: holder)] = at
    return at
  }
}

extension Fractions {
  /// A run of pages that one process has, as scans of page tables give them: `count` pages from
  /// `index` on.
  public mutating func add(_ file: File, from index: UInt32, count: UInt32, to holder: Holder) {
    for i in index..<(index + count) { add(Page(file: file, index: i), to: holder) }
  }

  /// The same run gone. How many of them the holder did not have.
  @discardableResult public mutating func remove(
    _ file: File, from index: UInt32, count: UInt32, from holder: Holder
  )
    -> Int
  {
    (index..<(index + count)).reduce(0) {
      $0 + (remove(Page(file: file, index: $1), from: holder) ? 0 : 1)
    }
  }
}
