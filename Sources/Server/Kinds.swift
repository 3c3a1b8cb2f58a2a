/// What each descriptor of the loop is, by its number: looked up for every event.
struct Kinds: ~Copyable {
  enum Kind: UInt8 {
    case none, listener, timer, extra
    /// The epoll of the members' pidfds.
    case deaths
    /// A connection whose question has not come yet.
    case question
    /// … and one that has more to be told than fits at once.
    case reply
  }

  private var table = UnsafeMutablePointer<Kind>.allocate(capacity: 0)
  private var capacity = 0

  deinit { table.deallocate() }

  subscript(fd: Int32) -> Kind {
    get { fd >= 0 && fd < capacity ? table[Int(fd)] : .none }
    set {
      if fd >= capacity { grow(to: Int(fd) + 1) }
      table[Int(fd)] = newValue
    }
  }

  private mutating func grow(to least: Int) {
    let more = max(least, capacity * 2, 64)
    let new = UnsafeMutablePointer<Kind>.allocate(capacity: more)
    new.initialize(repeating: .none, count: more)
    new.update(from: table, count: capacity)
    table.deallocate()
    (table, capacity) = (new, more)
  }
}
