import Beancounters

/// The sample configurations that came with OpenVZ, by the names it gave them: `--profile NAME`.
/// Here and not in Configuration, so that bcrun needs no second program for them.
package enum Profile: String, CaseIterable, Sendable {
  /// An ordinary container: 240 processes, 256 MiB of private memory.
  case basic
  /// A small one: 40 processes, 30 MiB.
  case light
  /// 256 MiB of memory and 512 MiB of swap, and no bound on anything else.
  case vswap256m = "vswap-256m"

  package var configured: Configured {
    switch self {
    case .basic: Configured(bounds: Profile.changes(Profile.basicRows))
    case .light: Configured(bounds: Profile.changes(Profile.lightRows))
    case .vswap256m:
      Configured(bounds: Profile.changes([.physpages: (0, 65536), .swappages: (0, 131_072)]))
        .filledVSwap()
    }
  }

  /// The expected average number of processes (AVNUMPROC), where the sample is known to state one.
  package var averageProcesses: Int64? { self == .basic ? 180 : nil }

  static var accepted: String { allCases.map(\.rawValue).joined(separator: ", ") }

  private static func changes(_ rows: [Resource: (Int64, Int64)]) -> [Resource: BoundsChange] {
    rows.mapValues { BoundsChange(barrier: $0.0, limit: $0.1) }
  }

  // barrier and limit in the resource's own unit: ve-basic.conf-sample and ve-light.conf-sample of
  // vzctl 4.
  private static let none = Bounds.unlimited
  private static let basicRows: [Resource: (Int64, Int64)] = [
    .kmemsize: (14_372_700, 14_790_164), .lockedpages: (2048, 2048), .privvmpages: (65536, 69632),
    .shmpages: (21504, 21504), .numproc: (240, 240), .physpages: (0, none),
    .vmguarpages: (33792, none),
    .oomguarpages: (26112, none), .numtcpsock: (360, 360), .numflock: (188, 206), .numpty: (16, 16),
    .numsiginfo: (256, 256), .tcpsndbuf: (1_720_320, 2_703_360), .tcprcvbuf: (1_720_320, 2_703_360),
    .othersockbuf: (1_126_080, 2_097_152), .dgramrcvbuf: (262_144, 262_144),
    .numothersock: (360, 360),
    .dcachesize: (3_409_920, 3_624_960), .numfile: (9312, 9312), .numiptent: (128, 128),
  ]
  private static let lightRows: [Resource: (Int64, Int64)] = [
    .kmemsize: (1_740_800, 1_847_296), .lockedpages: (4, 4), .privvmpages: (7680, 8448),
    .shmpages: (1152, 1152),
    .numproc: (40, 40), .physpages: (0, none), .vmguarpages: (1725, none),
    .oomguarpages: (1725, none),
    .numtcpsock: (40, 40), .numflock: (50, 60), .numpty: (4, 4), .numsiginfo: (256, 256),
    .tcpsndbuf: (159_744, 262_144), .tcprcvbuf: (159_744, 262_144),
    .othersockbuf: (135_168, 237_568),
    .dgramrcvbuf: (135_168, 196_608), .numothersock: (40, 40), .dcachesize: (196_608, 202_752),
    .numfile: (512, 512), .numiptent: (16, 16),
  ]
}
