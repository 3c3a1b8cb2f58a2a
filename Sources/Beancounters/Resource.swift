/// A resource that a beancounter bounds, in the kernels' order: the raw value is the row of
/// `/proc/user_beancounters` (OpenVZ 2.6.18, kernel/ub/beancounter.c, `ub_rnames`).
public enum Resource: Int, CaseIterable, Sendable {
  case kmemsize = 0
  case lockedpages = 1
  case privvmpages = 2
  case shmpages = 3
  case numproc = 5
  case physpages = 6
  case vmguarpages = 7
  case oomguarpages = 8
  case numtcpsock = 9
  case numflock = 10
  case numpty = 11
  case numsiginfo = 12
  case tcpsndbuf = 13
  case tcprcvbuf = 14
  case othersockbuf = 15
  case dgramrcvbuf = 16
  case numothersock = 17
  case dcachesize = 18
  case numfile = 19
  case numiptent = 23
  case swappages = 24
  /// Inotify instances. Ours: no OpenVZ kernel had it, and /proc/user_beancounters has no such row.
  case numinotify = 25

  /// What one unit of the resource is.
  public enum Unit: String, Sendable {
    case items, pages, bytes
  }

  /// The name in the kernels' files and in every option.
  public var name: String {
    switch self {  // not String(describing:), which costs ten times as much at every start
    case .kmemsize: "kmemsize"
    case .lockedpages: "lockedpages"
    case .privvmpages: "privvmpages"
    case .shmpages: "shmpages"
    case .numproc: "numproc"
    case .physpages: "physpages"
    case .vmguarpages: "vmguarpages"
    case .oomguarpages: "oomguarpages"
    case .numtcpsock: "numtcpsock"
    case .numflock: "numflock"
    case .numpty: "numpty"
    case .numsiginfo: "numsiginfo"
    case .tcpsndbuf: "tcpsndbuf"
    case .tcprcvbuf: "tcprcvbuf"
    case .othersockbuf: "othersockbuf"
    case .dgramrcvbuf: "dgramrcvbuf"
    case .numothersock: "numothersock"
    case .dcachesize: "dcachesize"
    case .numfile: "numfile"
    case .numiptent: "numiptent"
    case .swappages: "swappages"
    case .numinotify: "numinotify"
    }
  }

  public var unit: Unit {
    switch self {
    case .lockedpages, .privvmpages, .shmpages, .physpages, .vmguarpages, .oomguarpages, .swappages:
      .pages
    case .kmemsize, .tcpsndbuf, .tcprcvbuf, .othersockbuf, .dgramrcvbuf, .dcachesize: .bytes
    default: .items
    }
  }

  public init?(name: some StringProtocol) {
    guard let found = Resource.allCases.first(where: { $0.name == name }) else { return nil }
    self = found
  }

  /// The rows that outputs have.
  public static let shown = allCases

  /// The rows that this version charges: a call is refused that would pass their bounds.
  public static let charged: [Resource] = [
    .lockedpages, .privvmpages, .shmpages, .numproc, .numtcpsock, .numflock, .numpty, .numsiginfo,
    .numothersock, .numfile,
    .numinotify,
  ]

  /// Where a row is among those charged: what is remembered by member and row has room for no others,
  /// which all share the last place.
  @inlinable public var chargedPlace: Int {
    switch self {  // a table, for the path of a charge
    case .lockedpages: 0
    case .privvmpages: 1
    case .shmpages: 2
    case .numproc: 3
    case .numtcpsock: 4
    case .numflock: 5
    case .numpty: 6
    case .numsiginfo: 7
    case .numothersock: 8
    case .numfile: 9
    case .numinotify: 10
    default: 11
    }
  }
  @inlinable public static var chargedPlaces: Int { 12 }

  /// The rows of socket buffers: counted by the kernel, and their bounds held where a socket is
  /// made or its buffers grow.
  public static let buffers: [Resource] = [.tcpsndbuf, .tcprcvbuf, .othersockbuf, .dgramrcvbuf]

  /// The rows whose bounds are acted on: those charged, socket buffers, the limit of physpages, and
  /// the two guarantees.
  public static let enforced = allCases.filter {
    charged.contains($0) || buffers.contains($0)
      || [.physpages, .vmguarpages, .oomguarpages].contains($0)
  }

  /// Rows whose barrier is no bound: it guarantees something, or is 0 in every configuration and
  /// compared with nothing.
  public static let withoutBarrier: [Resource] = [
    .physpages, .vmguarpages, .oomguarpages, .swappages,
  ]
}
