package import Beancounters

/// A consistency rule that a configuration breaks.
package struct Finding: Equatable, Sendable {
  /// vzcfgvalidate(8) knows these three, and does not say which rule has which. Here OpenVZ's own
  /// words decide (wiki, "UBC consistency check"):
  ///
  /// - error: bounds whose parts contradict what the resource does with them, and the rules called
  ///   important, because programs fail in the middle of their work (kmemsize) or connections hang
  ///   (send buffers);
  /// - warning: what was set is of no effect or costs performance (vmguarpages, receive buffers,
  ///   dcachesize, numfile);
  /// - recommendation: called desirable, not essential (datagram and other socket buffers).
  package enum Severity: String, CaseIterable, Sendable { case error, warning, recommendation }

  package let severity: Severity
  /// The rule, `kmemsize.barrier >= 40960 * avnumproc + dcachesize.limit`.
  package let rule: String
  /// The resource whose bounds the rule is about.
  package let resource: Resource
  /// What the left side of the rule is, in the resource's own unit; `Bounds.unlimited` for no
  /// bound.
  package let actual: Int64
  /// What the right side is.
  package let required: Int64
  /// What would satisfy the rule.
  package let remedy: String

  /// One line.
  package var description: String {
    "\(severity.rawValue): \(rule) does not hold: \(amount(actual)), \(amount(required)); \(remedy)"
  }
}

/// `value` in its own unit, as every option reads it.
func amount(_ value: Int64) -> String { value == Bounds.unlimited ? "unlimited" : String(value) }
