/// The books of one beancounter: what is out to each member, against the bounds. Pure: no I/O, no
/// clock, no process ids.
///
/// `granted` is what the member may have obtained, spent or not: an upper estimate of the truth.
/// The ledger keeps Σ granted within the ceiling of every charge that is not FORCE; recalls and
/// recounts bring `granted` down towards the truth, and never below it.
public struct Ledger: ~Copyable, @unchecked Sendable {
  /// A member's place in the books; reused after `leave`.
  public typealias Slot = Int

  public struct Account: Sendable {
    public internal(set) var bounds = Bounds()
    /// Σ granted of all members.
    public internal(set) var granted: Int64 = 0
    public internal(set) var maxheld: Int64 = 0
    public internal(set) var failcnt: Int64 = 0
  }

  // Laid flat and taken once: a charge touches a few words here, and no object.
  private let accounts: UnsafeMutablePointer<Account>
  private var granted: UnsafeMutablePointer<Int64>  // by slot, then place of a charged row
  private var inUse: UnsafeMutablePointer<Bool>
  private var capacity = 0  // in slots
  /// How many slots have ever been in use: all are below it.
  public private(set) var slots = 0
  private var free: [Slot] = []
  public private(set) var members = 0

  /// Where no bound is lower: sums of amounts that somebody made up must have a number still.
  private static let most: Int64 = 1 << 62

  /// A constant, which costs a charge nothing; `init` checks it.
  private static var rows: Int { 26 }

  public init(bounds: [Resource: Bounds] = [:]) {
    precondition(Resource.allCases.allSatisfy { $0.rawValue < Ledger.rows })
    accounts = .allocate(capacity: Ledger.rows)
    accounts.initialize(repeating: Account(), count: Ledger.rows)
    granted = .allocate(capacity: 0)
    inUse = .allocate(capacity: 0)
    for (resource, bound) in bounds { accounts[resource.rawValue].bounds = bound }
  }

  deinit {
    accounts.deallocate()
    granted.deallocate()
    inUse.deallocate()
  }

  public subscript(_ resource: Resource) -> Account { accounts[resource.rawValue] }

  public func granted(_ slot: Slot, _ resource: Resource) -> Int64 {
    precondition(slot >= 0 && slot < slots)
    return granted[Ledger.place(slot, resource)]
  }

  /// New bounds, also below what is held: what exists stays, new charges fail.
  public mutating func setBounds(_ bounds: Bounds, of resource: Resource) {
    accounts[resource.rawValue].bounds = bounds
  }

  public mutating func join() -> Slot {
    members += 1
    let slot = free.popLast() ?? slots
    if slot == slots {
      if slots == capacity { makeRoom() }
      slots += 1
    }
    (granted + slot * Resource.chargedPlaces).update(repeating: 0, count: Resource.chargedPlaces)
    inUse[slot] = true
    return slot
  }

  /// By a quarter: of many members, little room is left over.
  private mutating func makeRoom() {
    let more = capacity + max(4, capacity / 4)
    let (amounts, used) = (
      UnsafeMutablePointer<Int64>.allocate(capacity: more * Resource.chargedPlaces),
      UnsafeMutablePointer<Bool>.allocate(capacity: more)
    )
    amounts.initialize(repeating: 0, count: more * Resource.chargedPlaces)
    used.initialize(repeating: false, count: more)
    amounts.update(from: granted, count: slots * Resource.chargedPlaces)
    used.update(from: inUse, count: slots)
    granted.deallocate()
    inUse.deallocate()
    (granted, inUse, capacity) = (amounts, used, more)
  }

  /// Everything the member had comes back.
  public mutating func leave(_ slot: Slot) {
    precondition(slot >= 0 && slot < slots && inUse[slot], "a member leaves once")
    for resource in Resource.charged {
      accounts[resource.rawValue].granted -= granted[Ledger.place(slot, resource)]
      granted[Ledger.place(slot, resource)] = 0
    }
    inUse[slot] = false
    free.append(slot)
    members -= 1
  }

  /// The most that a charge of this severity may bring a resource to. Memory up to the barrier of
  /// vmguarpages is guaranteed: the bounds of privvmpages refuse none of it, only those of a
  /// beancounter above can. No barrier guarantees nothing.
  public func ceiling(_ resource: Resource, _ severity: Severity) -> Int64 {
    let ceiling = accounts[resource.rawValue].bounds.ceiling(severity)
    guard resource == .privvmpages else { return ceiling }
    let guarantee = accounts[Resource.vmguarpages.rawValue].bounds.barrier
    return guarantee == Bounds.unlimited ? ceiling : max(ceiling, guarantee)
  }

  /// What a charge of this severity could still be granted; negative when use is above a lowered
  /// bound.
  public func room(_ resource: Resource, _ severity: Severity) -> Int64 {
    let ceiling = ceiling(resource, severity)
    guard ceiling == Bounds.unlimited else { return ceiling - accounts[resource.rawValue].granted }
    return accounts[resource.rawValue].granted < Ledger.most ? Bounds.unlimited : 0
  }

  /// Grants at least `least` and at most `want`, or nothing. Batches never reach between barrier
  /// and limit, and take at most half of an equal share of the room, so that one member's cache
  /// does not starve the others (design §4).
  public mutating func grant(
    _ slot: Slot, _ resource: Resource, least: Int64, want: Int64, severity: Severity
  ) -> Int64? {
    guard let amount = offer(resource, least: least, want: want, severity: severity) else {
      return nil
    }
    add(amount, slot, resource)
    return amount
  }

  /// What `grant` would give. Nested books make one offer each, and the smallest is granted in all
  /// of them.
  public func offer(_ resource: Resource, least: Int64, want: Int64, severity: Severity) -> Int64? {
    precondition(least >= 0)
    guard least <= room(resource, severity) else { return nil }
    let share = room(resource, .hard) / Int64(2 * max(members, 1))
    return max(least, min(want, share))
  }

  /// Credit that was recalled unspent.
  public mutating func giveBack(_ slot: Slot, _ resource: Resource, _ amount: Int64) {
    precondition(
      amount >= 0 && amount <= granted(slot, resource), "no more comes back than went out")
    add(-amount, slot, resource)
  }

  /// What a recount found the member to hold, or anything else that is so whatever the bounds say
  /// (FORCE).
  public mutating func set(_ slot: Slot, _ resource: Resource, to amount: Int64) {
    precondition(amount >= 0)
    add(amount - granted(slot, resource), slot, resource)
  }

  /// One unit changes hands inside the beancounter: a child takes over what its parent charged for
  /// it.
  public mutating func transfer(from: Slot, to: Slot, _ resource: Resource, _ amount: Int64) {
    precondition(amount <= granted(from, resource) && to >= 0 && to < slots)
    granted[Ledger.place(from, resource)] -= amount
    granted[Ledger.place(to, resource)] += amount
  }

  /// What an earlier life of the beancounter came to: it goes on counting from there.
  public mutating func resume(_ resource: Resource, maxheld: Int64, failcnt: Int64) {
    accounts[resource.rawValue].maxheld = maxheld
    accounts[resource.rawValue].failcnt = failcnt
  }

  /// A refusal that a program saw.
  public mutating func refuse(_ resource: Resource) { accounts[resource.rawValue].failcnt += 1 }

  /// So much was held at one moment.
  public mutating func observe(_ resource: Resource, held: Int64) {
    accounts[resource.rawValue].maxheld = max(accounts[resource.rawValue].maxheld, held)
  }

  private mutating func add(_ amount: Int64, _ slot: Slot, _ resource: Resource) {
    precondition(slot >= 0 && slot < slots)
    guard amount != 0 else { return }
    precondition(Ledger.isCharged(resource), "a row that members are charged with")
    granted[Ledger.place(slot, resource)] += amount
    accounts[resource.rawValue].granted += amount
  }

  private static func place(_ slot: Slot, _ resource: Resource) -> Int {
    slot * Resource.chargedPlaces + resource.chargedPlace
  }

  private static func isCharged(_ resource: Resource) -> Bool {
    resource.chargedPlace < Resource.chargedPlaces - 1
  }
}
