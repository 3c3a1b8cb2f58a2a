public import Beancounters
public import Command

/// What a beancounter is made with.
public struct Settings: Sendable {
  public var bounds: [Resource: Bounds]
  public var allowOnServerLoss: Bool
  public var openvzErrno: Bool
  /// At its limit of physpages members that are idle are paged out before growth is refused.
  public var reclaims: Bool
  /// Members see the bound on memory in /proc/meminfo and its like.
  public var meminfo: Bool
  /// Removed when its last member has gone and its report was asked for: the beancounter of one
  /// run.
  public var ofOneRun = false
  /// Charges that fail on purpose.
  public var failures: [Resource: Injection] = [:]

  public init(
    bounds: [Resource: Bounds], allowOnServerLoss: Bool = false, openvzErrno: Bool = false,
    reclaims: Bool = false, meminfo: Bool = false
  ) {
    self.bounds = bounds
    self.allowOnServerLoss = allowOnServerLoss
    self.openvzErrno = openvzErrno
    self.reclaims = reclaims
    self.meminfo = meminfo
  }
}
