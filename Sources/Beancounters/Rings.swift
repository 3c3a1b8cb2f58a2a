/// The lists of holders of pages that several beancounters have (Fractions), and what each holder
/// has of all pages. A list is a ring in a pool, 16 bytes a holder; its head turns by one with each
/// arrival, so that the head always has the most and the tail the least.
struct Rings: Sendable {
  /// A list, by number; another's once it is freed.
  struct Ring: Hashable, Sendable { fileprivate var number: UInt32 }

  static let unitsPerPage: UInt64 = 1 << 24

  /// What a holder has is 2^-shift of each page, however many of its processes map it.
  private struct Share {
    var holder: UInt16
    var shift: UInt8 = 0
    var processes: UInt32
    var next: UInt32 = 0
    var previous: UInt32 = 0

    func isLike(_ other: Share) -> Bool {
      (holder, shift, processes) == (other.holder, other.shift, other.processes)
    }
  }

  private struct Place: Hashable {
    var ring: Ring
    var holder: UInt16
  }

  private var heads: [UInt32] = []  // by ring
  private var freeRings: [Ring] = []
  private var pool: [Share] = []
  private var freeShares: [UInt32] = []
  private var places: [Place: UInt32] = [:]
  private var units: [UInt64] = []  // by holder

  func held(_ holder: Int) -> UInt64 { holder < units.count ? units[holder] : 0 }

  mutating func makeRoom(for holder: Int) {
    if holder >= units.count { units += Array(repeating: 0, count: holder + 1 - units.count) }
  }

  /// Pages that nobody else has.
  mutating func give(_ pages: UInt32, to holder: Int) {
    units[holder] += UInt64(pages) * Rings.unitsPerPage
  }

  mutating func take(_ pages: UInt32, from holder: Int) {
    units[holder] -= UInt64(pages) * Rings.unitsPerPage
  }

  // MARK: Lists

  /// A list of one, who has all of the pages already.
  mutating func make(_ holder: UInt16, processes: UInt32) -> Ring {
    let ring = newRing()
    let head = newShare(ring, Share(holder: holder, processes: processes))
    link(head, head)
    heads[ring.place] = head
    return ring
  }

  mutating func copy(_ ring: Ring) -> Ring {
    let new = newRing(), head = heads[ring.place]
    let newHead = newShare(new, pool[Int(head)])
    var at = pool[Int(head)].next, last = newHead
    while at != head {
      let one = newShare(new, pool[Int(at)])
      link(last, one)
      (at, last) = (pool[Int(at)].next, one)
    }
    link(last, newHead)
    heads[new.place] = newHead
    return new
  }

  mutating func free(_ ring: Ring) {
    let head = heads[ring.place]
    var at = head
    repeat {
      places[Place(ring: ring, holder: pool[Int(at)].holder)] = nil
      freeShares.append(at)
      at = pool[Int(at)].next
    } while at != head
    freeRings.append(ring)
  }

  func areAlike(_ one: Ring, _ other: Ring) -> Bool {
    let head = heads[one.place]
    var a = head, b = heads[other.place]
    repeat {
      guard pool[Int(a)].isLike(pool[Int(b)]) else { return false }
      (a, b) = (pool[Int(a)].next, pool[Int(b)].next)
    } while a != head
    return b == heads[other.place]
  }

  /// From the head: who, the exponent s of its 2^-s, and how many of its processes.
  func shares(_ ring: Ring) -> [(holder: Int, shift: Int, count: Int)] {
    let head = heads[ring.place]
    var found: [(holder: Int, shift: Int, count: Int)] = []
    var at = head
    repeat {
      let share = pool[Int(at)]
      found.append((Int(share.holder), Int(share.shift), Int(share.processes)))
      at = share.next
    } while at != head
    return found
  }

  /// Whoever is the only one on the list.
  func only(_ ring: Ring) -> (holder: UInt16, processes: UInt32)? {
    let head = heads[ring.place]
    return pool[Int(head)].next == head
      ? (pool[Int(head)].holder, pool[Int(head)].processes) : nil
  }

  // MARK: The rule

  /// One more process of a holder has the pages of the list. The first one halves what the head
  /// has: the head becomes the tail, with the newcomer behind it.
  mutating func add(_ holder: UInt16, to ring: Ring, pages: UInt32) {
    if let at = places[Place(ring: ring, holder: holder)] {
      pool[Int(at)].processes += 1
      return
    }
    let head = heads[ring.place]
    pool[Int(head)].shift += 1
    let shift = pool[Int(head)].shift
    let half = UInt64(pages) * (Rings.unitsPerPage >> UInt64(shift))
    units[Int(pool[Int(head)].holder)] -= half
    units[Int(holder)] += half
    let new = newShare(ring, Share(holder: holder, shift: shift, processes: 1))
    let after = pool[Int(head)].next
    link(head, new)
    link(new, after)
    // With one on the ring, `after` was the head itself, and the head stays where it is.
    heads[ring.place] = after
  }

  /// One process less; false, and nothing done, when the holder is not on the list. What the last one
  /// leaves is given to the tail, which has the least; to two of them where it was twice as big.
  mutating func remove(_ holder: UInt16, from ring: Ring, pages: UInt32) -> Bool {
    guard let at = places[Place(ring: ring, holder: holder)] else { return false }
    pool[Int(at)].processes -= 1
    guard pool[Int(at)].processes == 0 else { return true }
    let gone = pool[Int(at)]
    units[Int(holder)] -= UInt64(pages) * (Rings.unitsPerPage >> UInt64(gone.shift))
    places[Place(ring: ring, holder: holder)] = nil
    freeShares.append(at)
    link(gone.previous, gone.next)
    var head = at == heads[ring.place] ? gone.next : heads[ring.place]
    let twice = pool[Int(pool[Int(head)].previous)].shift > gone.shift
    for _ in 0..<(twice ? 2 : 1) {
      head = pool[Int(head)].previous  // the tail, and with more, the new head
      let share = pool[Int(head)]
      units[Int(share.holder)] += UInt64(pages) * (Rings.unitsPerPage >> UInt64(share.shift))
      pool[Int(head)].shift -= 1
    }
    heads[ring.place] = head
    return true
  }

  private mutating func link(_ one: UInt32, _ next: UInt32) {
    pool[Int(one)].next = next
    pool[Int(next)].previous = one
  }

  private mutating func newRing() -> Ring {
    if let free = freeRings.popLast() { return free }
    heads.append(0)
    return Ring(number: UInt32(heads.count - 1))
  }

  private mutating func newShare(_ ring: Ring, _ share: Share) -> UInt32 {
    let at: UInt32
    if let free = freeShares.popLast() {
      at = free
      pool[Int(free)] = share
    } else {
      at = UInt32(pool.count)
      pool.append(share)
    }
    places[Place(ring: ring, holder: share.holder)] = at
    return at
  }
}

extension Rings.Ring {
  fileprivate var place: Int { Int(number) }
}
