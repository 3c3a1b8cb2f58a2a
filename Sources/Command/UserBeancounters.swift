internal import Beancounters

/// The kernels' files of beancounters, byte for byte as a 64-bit kernel printed them (OpenVZ
/// 2.6.18, kernel/ub/ub_proc.c: `%10s %-12s %20lu %20lu %20lu %20lu %20lu`).
///
/// Amounts are in each resource's own unit; `Bounds.unlimited` is LONG_MAX and printed as that
/// number. A resource that `rows` lacks is printed as nothing held under no bound. Ids should have
/// at most 8 digits: a ninth fills the column, and readers that expect blanks before the id lose
/// the beancounter.
///
///     UserBeancounters.text([(id: 101, rows: report.rows)])
public enum UserBeancounters {
  /// `/proc/user_beancounters`, Version 2.5: 24 rows for each beancounter, four of them dummies,
  /// without swappages. The kernel lists the newest first, and none that has a parent: the order
  /// and the choice are the caller's.
  ///
  /// `dummyBound` is the barrier and the limit of the dummies: 0 in containers of 2.6.18, LONG_MAX
  /// since 2.6.32-042.
  public static func text(_ all: [(id: Int, rows: [Report.Row])], dummyBound: Int64 = 0) -> String {
    heading
      + all.map { one in
        (0..<compatRows).map { index in
          let uid = index == 0 ? "\(one.id):" : ""
          guard let resource = Resource(rawValue: index) else {
            return line(uid, "dummy", [0, 0, dummyBound, dummyBound, 0])
          }
          return line(uid, resource, in: one.rows)
        }.joined()
      }.joined()
  }

  /// `/proc/bc/resources`: the same heading, no dummies, and swappages.
  public static func resources(_ all: [(id: Int, rows: [Report.Row])]) -> String {
    heading
      + all.map { one in
        kernels.map { line($0.rawValue == 0 ? "\(one.id):" : "", $0, in: one.rows) }.joined()
      }.joined()
  }

  /// `/proc/bc/<id>/resources`: the rows alone, without heading and id.
  public static func ofOne(_ rows: [Report.Row]) -> String {
    kernels.map { line("", $0, in: rows) }.joined()
  }

  /// `/proc/bc/<id>/vmaux` as 2.6.18 has it: pages, and counts of pages swapped in and unmapped.
  public static func vmaux(
    unusedPrivvmpages: Int64, tmpfsRespages: Int64, swapPages: Int64, rss: Int64, swapin: Int64,
    unmap: Int64
  ) -> String {
    auxiliary([
      ("unused_privvmpages", unusedPrivvmpages), ("tmpfs_respages", tmpfsRespages),
      ("swap_pages", swapPages),
      ("rss", rss), ("swapin", swapin), ("unmap", unmap),
    ])
  }

  /// `\t%-20s %21lu`, the lines of vmaux and ioacct.
  static func auxiliary(_ values: [(name: String, value: Int64)]) -> String {
    values.map { "\t" + left($0.name, 20) + " " + right(number($0.value), 21) + "\n" }.joined()
  }

  /// The rows of `/proc/user_beancounters`: `UB_RESOURCES_COMPAT`, which ends before swappages.
  private static let compatRows = 24

  /// numinotify is ours: no kernel printed it.
  private static let kernels = Resource.allCases.filter { $0 != .numinotify }

  private static let heading =
    "Version: 2.5\n"
    + line("uid", "resource", ["held", "maxheld", "barrier", "limit", "failcnt"])

  private static func line(_ uid: String, _ resource: Resource, in rows: [Report.Row]) -> String {
    guard let row = rows.first(where: { $0.resource == resource }) else {
      return line(uid, resource.name, [0, 0, Bounds.unlimited, Bounds.unlimited, 0])
    }
    return line(
      uid, resource.name,
      [row.held, row.maxheld, row.bounds.barrier, row.bounds.limit, row.failcnt])
  }

  private static func line(_ uid: String, _ name: String, _ amounts: [Int64]) -> String {
    line(uid, name, amounts.map(number))
  }

  private static func line(_ uid: String, _ name: String, _ cells: [String]) -> String {
    right(uid, 10) + "  " + left(name, 12) + cells.map { " " + right($0, 20) }.joined() + "\n"
  }

  /// The kernel prints unsigned longs and never holds less than nothing.
  private static func number(_ amount: Int64) -> String { String(max(0, amount)) }

  private static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.utf8.count))
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.utf8.count)) + text
  }
}
