/// Resident pages shared out among the beancounters that have them, by the halving rule of the
/// OpenVZ kernels (RSS fractions, 2.6.18 kernel/ub/ub_page_bc.c): 1; ½ ½; ½ ¼ ¼; ¼ ¼ ¼ ¼. An
/// arrival halves the share of one other holder only, so that it costs the same however many there
/// are. Pure: no I/O, no clock.
///
/// Laws: the shares of a page add up to exactly 1; along its list, from the head, they halve at
/// most once and never grow.
///
/// Pages side by side that came to the same holders in the same way have one list: processes map
/// files by the run, and a list for each page would cost a server more than all else that it knows
/// of a beancounter.
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
  public static let unitsPerPage = Rings.unitsPerPage

  private struct Key: Hashable { var device: UInt64, inode: UInt64 }

  /// Pages side by side that are held alike.
  private struct Extent {
    var first: UInt32
    var count: UInt32
    var holders: Holders
    var end: UInt32 { first + count }
  }

  private enum Holders: Equatable {
    /// Nearly every page has one holder, of which so many processes map it.
    case one(UInt16, processes: UInt32)
    case several(Rings.Ring)
  }

  private struct Content {
    var key: Key
    var extents: [Extent] = []  // in order
  }

  private var numbers: [Key: UInt32] = [:]
  private var files: [Content] = []
  private var freeFiles: [UInt32] = []
  private var rings = Rings()

  public init() {}

  /// The file of this identity, named for the first time or not.
  public mutating func file(device: UInt64, inode: UInt64) -> File {
    let key = Key(device: device, inode: inode)
    if let number = numbers[key] { return File(number: number) }
    let number: UInt32
    if let free = freeFiles.popLast() {
      number = free
      files[Int(number)] = Content(key: key)
    } else {
      number = UInt32(files.count)
      files.append(Content(key: key))
    }
    numbers[key] = number
    return File(number: number)
  }

  /// What `file` was told of a file that is not forgotten.
  public func identity(_ file: File) -> (device: UInt64, inode: UInt64) {
    let key = files[Int(file.number)].key
    return (key.device, key.inode)
  }

  /// Forgets a file of which no page is held; its number may then be another's. False, and nothing
  /// done, while one is.
  @discardableResult public mutating func forget(_ file: File) -> Bool {
    let i = Int(file.number)
    guard i < files.count, numbers[files[i].key] == file.number, files[i].extents.isEmpty else {
      return false
    }
    numbers[files[i].key] = nil
    freeFiles.append(file.number)
    return true
  }

  /// What the beancounter has, in units of 2^-24 of a page: exact, since no share is smaller than
  /// that (a page would need more than 2^24 holders).
  public func held(_ holder: Holder) -> UInt64 { rings.held(holder) }

  /// Whole pages, rounded down, as the kernels showed them.
  public func pages(_ holder: Holder) -> UInt64 { held(holder) / Fractions.unitsPerPage }

  /// Pages with at least one holder.
  public private(set) var pageCount = 0

  /// Runs of pages that are kept apart from those beside them.
  public var extentCount: Int { files.reduce(0) { $0 + $1.extents.count } }

  /// The shares of a page from the head of its list: who, and the exponent s of its 2^-s.
  public func shares(_ page: Page) -> [(holder: Holder, shift: Int, count: Int)] {
    let extents = files[Int(page.file.number)].extents
    let i = Fractions.firstEnding(after: page.index, extents)
    guard i < extents.count, extents[i].first <= page.index else { return [] }
    switch extents[i].holders {
    case .one(let holder, let processes): return [(Int(holder), 0, Int(processes))]
    case .several(let ring): return rings.shares(ring)
    }
  }

  /// One more process of `holder` has the pages of a run: `count` of them from `index` on. The first
  /// process takes half of what the head of the list of each has.
  public mutating func add(_ file: File, from index: UInt32, count: UInt32, to holder: Holder) {
    precondition(holder >= 0 && holder < 65_536, "a holder is a number from 0 to 65 535")
    rings.makeRoom(for: holder)
    let end = index + count
    change(file, index, end) { me, extents in
      var i = Fractions.firstEnding(after: index, extents), at = index
      while at < end {
        let next = i < extents.count ? max(at, min(extents[i].first, end)) : end
        if at < next {
          extents.insert(
            Extent(first: at, count: next - at, holders: .one(UInt16(holder), processes: 1)), at: i)
          me.rings.give(next - at, to: holder)
          me.pageCount += Int(next - at)
        } else {
          me.cut(&extents, &i, at, end)
          me.add(&extents[i], UInt16(holder))
        }
        at = extents[i].end
        i += 1
      }
    }
  }

  /// The same run gone; the last process of a holder gives its share back. How many of the pages the
  /// holder did not have.
  @discardableResult public mutating func remove(
    _ file: File, from index: UInt32, count: UInt32, from holder: Holder
  )
    -> Int
  {
    let end = index + count
    var missing = 0
    change(file, index, end) { me, extents in
      var i = Fractions.firstEnding(after: index, extents), at = index
      while at < end {
        let next = i < extents.count ? max(at, min(extents[i].first, end)) : end
        guard at == next else {
          missing += Int(next - at)
          at = next
          continue
        }
        me.cut(&extents, &i, at, end)
        at = extents[i].end
        if !me.remove(&extents[i], holder) { missing += Int(extents[i].count) }
        if case .one(_, 0) = extents[i].holders {
          me.pageCount -= Int(extents[i].count)
          extents.remove(at: i)
        } else {
          i += 1
        }
      }
    }
    return missing
  }

  // MARK: Extents

  /// The extents of a file, without a second holder of them that would make each change a copy; and
  /// those around what has changed are made one where they are alike again.
  private mutating func change(
    _ file: File, _ index: UInt32, _ end: UInt32, _ body: (inout Fractions, inout [Extent]) -> Void
  ) {
    var extents: [Extent] = []
    swap(&extents, &files[Int(file.number)].extents)
    body(&self, &extents)
    var i = max(1, Fractions.firstEnding(after: index, extents))
    while i < extents.count, extents[i].first <= end {
      if extents[i - 1].end == extents[i].first, join(extents[i - 1].holders, extents[i].holders) {
        extents[i - 1].count += extents[i].count
        extents.remove(at: i)
      } else {
        i += 1
      }
    }
    swap(&extents, &files[Int(file.number)].extents)
  }

  private static func firstEnding(after index: UInt32, _ extents: [Extent]) -> Int {
    var low = 0, high = extents.count
    while low < high {
      let middle = (low + high) / 2
      if extents[middle].end <= index { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Of the extent, which contains `at`, what is within the run becomes one of its own, and `i` says
  /// which.
  private mutating func cut(_ extents: inout [Extent], _ i: inout Int, _ at: UInt32, _ end: UInt32)
  {
    if extents[i].first < at {
      split(&extents, i, at)
      i += 1
    }
    if extents[i].end > end { split(&extents, i, end) }
  }

  private mutating func split(_ extents: inout [Extent], _ i: Int, _ at: UInt32) {
    var rest = extents[i]
    extents[i].count = at - rest.first
    rest.count -= extents[i].count
    rest.first = at
    if case .several(let ring) = rest.holders { rest.holders = .several(rings.copy(ring)) }
    extents.insert(rest, at: i + 1)
  }

  /// Whether they are held alike; then the second list is not needed any more.
  private mutating func join(_ one: Holders, _ other: Holders) -> Bool {
    guard case .several(let ring) = one, case .several(let second) = other else {
      return one == other
    }
    guard rings.areAlike(ring, second) else { return false }
    rings.free(second)
    return true
  }

  private mutating func add(_ extent: inout Extent, _ holder: UInt16) {
    switch extent.holders {
    case .one(holder, let processes): extent.holders = .one(holder, processes: processes + 1)
    case .one(let first, let processes):
      let ring = rings.make(first, processes: processes)
      rings.add(holder, to: ring, pages: extent.count)
      extent.holders = .several(ring)
    case .several(let ring): rings.add(holder, to: ring, pages: extent.count)
    }
  }

  /// False, and nothing done, when no process of it had them.
  private mutating func remove(_ extent: inout Extent, _ holder: Holder) -> Bool {
    switch extent.holders {
    case .one(let only, let processes):
      guard Int(only) == holder else { return false }
      extent.holders = .one(only, processes: processes - 1)
      if processes == 1 { rings.take(extent.count, from: holder) }
    case .several(let ring):
      guard let holder = UInt16(exactly: holder),
        rings.remove(holder, from: ring, pages: extent.count)
      else { return false }
      if let last = rings.only(ring) {
        rings.free(ring)
        extent.holders = .one(last.holder, processes: last.processes)
      }
    }
    return true
  }
}

extension Fractions {
  /// One page.
  public mutating func add(_ page: Page, to holder: Holder) {
    add(page.file, from: page.index, count: 1, to: holder)
  }

  /// False when no process of the holder had it.
  @discardableResult public mutating func remove(_ page: Page, from holder: Holder) -> Bool {
    remove(page.file, from: page.index, count: 1, from: holder) == 0
  }
}
