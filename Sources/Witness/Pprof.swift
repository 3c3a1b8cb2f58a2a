/// Google's profile.proto, uncompressed, which `go tool pprof`, speedscope and Grafana read as they
/// read gzip.
public enum Pprof {
  /// - Parameters:
  ///   - type: the resource, e.g. `numfile`.
  ///   - unit: `count`, `bytes` …, as pprof scales it.
  ///   - period: units between two samples; 0 where every grant is there.
  ///   - time: of the profile, in nanoseconds since 1970; 0: unknown.
  /// - Returns: one message `Profile`.
  public static func profile(
    _ holdings: [Holding], type: String, unit: String, period: Int64 = 0, time: Int64 = 0
  ) -> [UInt8] {
    var encoder = Encoder()
    for holding in holdings where holding.amount != 0 { encoder.sample(holding) }
    var profile = Message()
    let valueType = encoder.valueType(type, unit)
    profile.message(1, valueType)  // sample_type
    for sample in encoder.samples { profile.message(2, sample) }
    for mapping in encoder.mappings() { profile.message(3, mapping) }
    for location in encoder.locations { profile.message(4, location) }
    for function in encoder.functions { profile.message(5, function) }
    for text in encoder.strings { profile.bytes(6, text.utf8) }
    profile.number(9, time)
    if period > 0 {
      profile.message(11, valueType)
      profile.number(12, period)
    }
    return profile.data
  }
}

/// A protobuf message as it is written: field by field, zero left out.
private struct Message {
  var data: [UInt8] = []

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      data.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    data.append(UInt8(rest))
  }

  mutating func number(_ field: UInt64, _ value: Int64) {
    guard value != 0 else { return }
    varint(field << 3)
    varint(UInt64(bitPattern: value))
  }

  mutating func bytes(_ field: UInt64, _ bytes: some Collection<UInt8>) {
    varint(field << 3 | 2)
    varint(UInt64(bytes.count))
    data += bytes
  }

  mutating func message(_ field: UInt64, _ message: Message) { bytes(field, message.data) }

  mutating func packed(_ field: UInt64, _ values: [Int64]) {
    var list = Message()
    for value in values { list.varint(UInt64(bitPattern: value)) }
    message(field, list)
  }
}

/// The tables of a profile: everything once, referred to by number.
private struct Encoder {
  private struct Place: Hashable {
    var module: String?
    var offset: UInt64
    /// Two builds of one path may have different functions at one offset.
    var frames: [Frame]
  }
  private struct FunctionKey: Hashable {
    var name: String
    var file: String?
  }

  /// The first is the empty one, as the format demands.
  private(set) var strings = [""]
  private(set) var samples: [Message] = []
  private(set) var locations: [Message] = []
  private(set) var functions: [Message] = []
  private var stringIDs = ["": Int64(0)]
  private var locationIDs: [Place: Int64] = [:]
  private var functionIDs: [FunctionKey: Int64] = [:]
  private var mappingIDs: [String: Int64] = [:]
  private var mappingEnds: [(path: Int64, end: UInt64)] = []

  mutating func valueType(_ type: String, _ unit: String) -> Message {
    var message = Message()
    message.number(1, string(type))
    message.number(2, string(unit))
    return message
  }

  /// Inlined frames and the one that they are inlined into are one location.
  mutating func sample(_ holding: Holding) {
    var ids: [Int64] = []
    var group: [Frame] = []
    for (i, frame) in holding.stack.enumerated() {
      group.append(frame)
      guard !frame.inlined || i == holding.stack.count - 1 else { continue }
      ids.append(location(group))
      group = []
    }
    if ids.isEmpty { ids = [location([Frame(function: nil)])] }
    var message = Message()
    message.packed(1, ids)
    message.packed(2, [holding.amount])
    samples.append(message)
  }

  func mappings() -> [Message] {
    mappingEnds.enumerated().map { i, mapping in
      var message = Message()
      message.number(1, Int64(i + 1))
      message.number(3, Int64(clamping: mapping.end))
      message.number(5, mapping.path)
      // Functions, files, lines and inlined frames are in: nothing is left for the reader to look
      // up.
      for field: UInt64 in 7...10 { message.number(field, 1) }
      return message
    }
  }

  private mutating func string(_ text: String) -> Int64 {
    if let id = stringIDs[text] { return id }
    let id = Int64(strings.count)
    strings.append(text)
    stringIDs[text] = id
    return id
  }

  private mutating func location(_ frames: [Frame]) -> Int64 {
    let place = Place(module: frames[0].module, offset: frames[0].offset, frames: frames)
    if let id = locationIDs[place] { return id }
    let id = Int64(locations.count + 1)
    locationIDs[place] = id
    var message = Message()
    message.number(1, id)
    if let module = place.module { message.number(2, mapping(module, place.offset)) }
    message.number(3, Int64(bitPattern: place.offset))
    for frame in frames {
      var line = Message()
      line.number(1, function(FunctionKey(name: frame.label, file: frame.file)))
      line.number(2, Int64(frame.line ?? 0))
      message.message(4, line)
    }
    locations.append(message)
    return id
  }

  private mutating func mapping(_ module: String, _ offset: UInt64) -> Int64 {
    let id: Int64
    if let known = mappingIDs[module] {
      id = known
    } else {
      mappingEnds.append((string(module), 0))
      id = Int64(mappingEnds.count)
      mappingIDs[module] = id
    }
    let i = Int(id) - 1
    mappingEnds[i].end = max(mappingEnds[i].end, offset == .max ? offset : offset + 1)
    return id
  }

  private mutating func function(_ key: FunctionKey) -> Int64 {
    if let id = functionIDs[key] { return id }
    let id = Int64(functions.count + 1)
    functionIDs[key] = id
    var message = Message()
    message.number(1, id)
    message.number(2, string(key.name))
    message.number(3, string(key.name))
    message.number(4, string(key.file ?? ""))
    functions.append(message)
    return id
  }
}
