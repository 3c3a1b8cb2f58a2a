internal import Beancounters
internal import CLinux
public import Command
internal import Recount

/// What is shown of a beancounter: its rows, its members, its report.
extension Accounting {
  /// Rows as they are now. `recount`: asks the kernel first, so that held is exact.
  public func rows(recount: Bool) -> [Report.Row] {
    if recount { observed.wasAskedFor(at: Clock.milliseconds()) }
    var held = recount ? heldNow() : nil
    if recount, subtree.contains(where: { $0.liveMembers > 0 }) {
      held?.merge(observe().totals) { $1 }
    }
    return Resource.shown.map { r in
      let now = held?[r] ?? (Accounting.things.contains(r) ? usedTotal(r) : 0)
      return Report.Row(
        resource: r, held: now, maxheld: max(ledger[r].maxheld, now), bounds: ledger[r].bounds,
        failcnt: ledger[r].failcnt,
        status: status(r))
    }
  }

  /// `exact`, `estimate`, `view` or `unseen`.
  func status(_ resource: Resource) -> String {
    if Resource.buffers.contains(resource), observed.last == nil, bufferLook.took >= 0 {
      return bufferLook.hidden == 0 ? "view" : "unseen"
    }
    guard Resource.charged.contains(resource) else {
      return observed.status(
        resource, maxheld: ledger[resource].maxheld, hasHadMembers: ledger[.numproc].maxheld > 0)
    }
    // Members that cannot ask are looked at from time to time only.
    return uncovered.isEmpty ? "exact" : "estimate"
  }

  /// Stacks of its denials that are being read.
  public var stacksUnderWay: Int { host.witnesses.underWay(self) }

  /// Gives the report its names, which takes a while.
  public func name(_ report: Report, _ then: @escaping (Report) -> Void) {
    host.witnesses.name(report.denials.stacks) { names in then(report.told(names)) }
  }

  /// Without the names that nobody has asked for yet.
  public func report(command: [String], exit: Report.Exit, seconds: Double) -> Report {
    var report = Report(
      id: id, name: name, command: command, exit: exit, seconds: seconds, rows: rows(recount: true),
      denials: denials,
      uncovered: uncovered, remaining: liveMembers, server: work)
    report.leftOpen = leftOpen
    report.firstOfPlaces = injecting.values.flatMap(\.firstOfPlaces)
    return report
  }

  func json() -> String { "{" + fields(Resource.shown).joined(separator: ",") + "}" }

  /// Its members and denials too.
  func told(_ only: [Resource]) -> Told {
    let processes = members.values.sorted { $0.pid < $1.pid }.map { member in
      #"{"pid":\#(member.pid),"comm":\#(jsonString(Procfs.stat(member.pid)?.comm ?? "?")),"coverage":"\#(coverage(member))"}"#
    }
    let before = fields(only) + [#""processes":\#(Report.array(processes))"#]
    let after = [
      #""uncovered":\#(Report.array(uncovered.map(Report.object)))"#,
      #""server":\#(Report.object(work))"#,
      #""mode":{\#(shownModes.map { #""\#($0.name)":"\#($0.mode)""# }.joined(separator: ","))}"#,
    ]
    return Told(stacks: denials.stacks) { [denials] names in
      let refused = Report.array(denials.told(names).map(Report.object))
      return "{" + (before + [#""denials":\#(refused)"#] + after).joined(separator: ",") + "}"
    }
  }

  private func fields(_ only: [Resource]) -> [String] {
    let rows = rows(recount: true).filter { only.contains($0.resource) }
    return [
      #""id":\#(id)"#, #""name":\#(jsonString(name))"#,
      #""parent":\#(parent.map { jsonString($0.name) } ?? "null")"#,
      #""members":\#(liveMembers)"#, #""resources":\#(Report.array(rows.map(Report.object)))"#,
    ]
  }

  private func coverage(_ member: Member) -> String {
    if member.isZombie { return "zombie" }
    switch member.coverage {
    case .expected: return "expected"
    case .joined: return "joined"
    case .uncovered: return "uncovered"
    }
  }

  /// Fast while estimates decide, slow where the next charge will recall or recount.
  private var shownModes: [(name: String, mode: String)] {
    Accounting.things.filter(isBounded).map {
      ($0.name, (isModal($0) ? !isSlow($0) : room($0, .hard) > 0) ? "fast" : "slow")
    }
  }

  /// Who holds a resource now, the greatest first.
  func holders(_ resource: Resource) -> [Holder] {
    if Observed.rows.contains(resource) {
      return observe().perMember.map { Holder(pid: $0.pid, amount: $0[resource]) }
        .filter { $0.amount > 0 }.sorted { ($1.amount, $0.pid) < ($0.amount, $1.pid) }
    }
    guard Resource.charged.contains(resource) else { return [] }
    if resource == .privvmpages { observeMemory() } else { recount(resource) }
    let held = subtree.flatMap { one in
      one.members.values.filter { !$0.isZombie || resource == .numproc }.map { member in
        (
          one, member,
          resource == .privvmpages
            ? one.dataPages(member)
            : member.used(resource, granted: one.ledger.granted(member.slot, resource))
        )
      }
    }
    return held.filter { $0.2 > 0 }.sorted { ($1.2, $0.1.pid) < ($0.2, $1.1.pid) }.map {
      one, member, amount in
      let items =
        Accounting.descriptions.contains(resource)
        ? Descriptors.named(member.pid).filter {
          resource == .numfile || $0.name.hasPrefix("socket:")
        }
        .filter { !Accounting.asking(member).contains($0.fd) } : []  // those are the shim's
      one.look(at: member.pid)
      var sockets = SocketNames(seenBy: member.pid)
      let list = items.map { item in
        let since =
          one.sightings.since(member.pid, item).map { #","since":\#(jsonString(Clock.text($0)))"# }
          ?? ""
        return #"{"fd":\#(item.fd),"what":\#(jsonString(sockets.name(of: item.name)))\#(since)}"#
      }
      return Holder(
        pid: member.pid, amount: amount, items: list, places: one.places(resource, of: member.pid))
    }
  }

  /// The same, to be told.
  func toldHolders(_ resource: Resource) -> Told {
    let reading = stacksUnderWay, holders = holders(resource)
    return Told(stacks: holders.flatMap(\.places.stacks)) { names in
      #"{"reading":\#(reading),"holders":\#(Report.array(holders.map { $0.json(names) }))}"#
        + "\n"
    }
  }
}

/// A process that holds something: what, and where it obtained it.
struct Holder {
  var pid: Int32
  var amount: Int64
  /// JSON objects.
  var items: [String] = []
  var places = Places(found: [:])

  func json(_ names: Names) -> String {
    #"{"pid":\#(pid),"comm":\#(jsonString(Procfs.stat(pid)?.comm ?? "?")),"amount":\#(amount),"#
      + #""items":\#(Report.array(items)),"stacks":\#(Report.array(places.holding(amount, names)))}"#
  }
}

extension Clock {
  /// `2026-01-31T12:00:00`, in UTC.
  static func stamp(_ seconds: time_t) -> String {
    var broken = tm()
    var seconds = seconds
    gmtime_r(&seconds, &broken)
    var text = [CChar](repeating: 0, count: 32)
    let n = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%S", &broken)
    return String(decoding: text[..<n].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  static func text(_ seconds: time_t) -> String { stamp(seconds) + "Z" }
}

extension Events.Event {
  func json() -> String {
    let stamp = Clock.stamp(seconds)
    let fraction = String(1000 + milliseconds).dropFirst()
    var fields = [
      #""time":"\#(stamp).\#(fraction)Z""#, #""beancounter":\#(jsonString(beancounter))"#,
      #""event":"\#(kind.rawValue)""#,
    ]
    if let resource { fields.append(#""resource":"\#(resource.name)""#) }
    if let pid { fields.append(#""pid":\#(pid)"#) }
    fields.append(#""text":\#(jsonString(self.text))"#)
    return "{" + fields.joined(separator: ",") + "}"
  }
}
