public import Beancounters

/// What a beancounter is made with.
public struct Settings: Sendable {
  public var bounds: [Resource: Bounds]
  public var allowOnServerLoss: Bool
  public var openvzErrno: Bool

  public init(bounds: [Resource: Bounds], allowOnServerLoss: Bool = false, openvzErrno: Bool = false) {
    self.bounds = bounds
    self.allowOnServerLoss = allowOnServerLoss
    self.openvzErrno = openvzErrno
  }
}

/// A refusal that a program saw, with how often the same came to the same process through the same call.
public struct Denial: Sendable {
  public var resource: Resource
  public var error: Int32
  public var pid: Int32
  public var comm: String
  public var call: String
  public var detail: String
  public var amount: Int64
  public var count: Int64
}

/// A process that the shim is not in.
public struct Uncovered: Sendable {
  public var pid: Int32
  public var executable: String
  public var reason: String
}

/// What the server did.
public struct Work: Sendable {
  public var requests: Int64 = 0
  public var recalls: Int64 = 0
  public var recounts: Int64 = 0
}
