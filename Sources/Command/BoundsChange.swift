package import Beancounters

/// The parts of a resource's bounds that one option sets; nil is left as it was.
///
///     let change = try BoundsChange("100:120", of: .numfile, option: "--numfile")
///     bounds = change.applied(to: bounds)
package struct BoundsChange: Equatable, Sendable {
  package var barrier: Int64?
  package var limit: Int64?

  package init(barrier: Int64? = nil, limit: Int64? = nil) {
    self.barrier = barrier
    self.limit = limit
  }

  /// Reads `BARRIER[:LIMIT]`: one value sets both, `100:` the barrier alone, `:120` the limit
  /// alone. Amounts come out in the resource's own unit. `option` is what the error names.
  package init(_ text: String, of resource: Resource, option: String) throws(UsageError) {
    let accepted = BoundsChange.accepted(resource.unit)
    let parts = text.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count <= 2, parts.contains(where: { !$0.isEmpty }) else {
      throw .unreadable(option, text, accepted: accepted)
    }
    var amounts: [Int64?] = []
    for part in parts {
      let whole = parts.count == 1
      amounts.append(
        part.isEmpty && !whole
          ? nil
          : try readAmount(
            String(part), in: text, unit: resource.unit, option: option, accepted: accepted))
    }
    barrier = amounts[0]
    limit = amounts[amounts.count - 1]
  }

  package func applied(to bounds: Bounds) -> Bounds {
    Bounds(barrier: barrier ?? bounds.barrier, limit: limit ?? bounds.limit)
  }

  /// What the initializer reads, for messages.
  package static func accepted(_ unit: Resource.Unit) -> String {
    "BARRIER[:LIMIT], BARRIER: or :LIMIT, each \(Amount.accepted(unit))"
  }
}

/// One amount out of `value`, which is all that the option was given.
package func readAmount(
  _ text: String, in value: String, unit: Resource.Unit, option: String, accepted: String
) throws(UsageError) -> Int64 {
  do {
    return try Amount.parse(text, unit: unit)
  } catch {
    switch error {
    case .unreadable: throw .unreadable(option, value, accepted: accepted)
    case .negative:
      throw UsageError(
        "\(option): \(quoted(value)) is negative (only -1 is read, as unlimited); accepted: \(accepted)"
      )
    case .tooLarge:
      throw UsageError(
        "\(option): \(quoted(value)) is too large (the most is \(Int64.max)); accepted: \(accepted)"
      )
    }
  }
}
