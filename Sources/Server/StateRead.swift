internal import Beancounters
internal import Command
internal import Recount
internal import Witness
private import CSQLite

/// What an earlier server left behind.
extension State {
  /// Whether an earlier life had this id: it is not given to another.
  func isKnown(_ id: Int) -> Bool {
    var known = false
    run("SELECT 1 FROM beancounter WHERE id=?", [.number(Int64(id))]) { _ in known = true }
    return known
  }

  struct Saved {
    var id: Int
    var name: String
    var parent: Int?
    var token: Token
    var settings: Settings
  }

  /// Those that were alive when the server last was, parents first.
  func alive() -> [Saved] {
    var found: [Saved] = []
    run(
      "SELECT id, name, parent, token, openvz, allow, meminfo, reclaims FROM beancounter WHERE lives=1 ORDER BY id"
    ) { row in
      guard let token = Token(text(row, 3)) else { return }
      found.append(
        Saved(
          id: Int(sqlite3_column_int64(row, 0)), name: text(row, 1),
          parent: sqlite3_column_type(row, 2) == SQLITE_NULL || sqlite3_column_int64(row, 2) == 0
            ? nil : Int(sqlite3_column_int64(row, 2)),
          token: token,
          settings: Settings(
            bounds: [:], allowOnServerLoss: sqlite3_column_int64(row, 5) != 0,
            openvzErrno: sqlite3_column_int64(row, 4) != 0,
            reclaims: sqlite3_column_int64(row, 7) != 0,
            meminfo: sqlite3_column_int64(row, 6) != 0)))
    }
    for i in found.indices { found[i].settings.bounds = bounds(of: found[i].id) }
    var ordered: [Saved] = []
    while let i = found.firstIndex(where: { one in
      one.parent == nil || ordered.contains { $0.id == one.parent }
    }) {
      ordered.append(found.remove(at: i))
    }
    return ordered
  }

  private func bounds(of id: Int) -> [Resource: Bounds] {
    var bounds: [Resource: Bounds] = [:]
    run("SELECT resource, barrier, \"limit\" FROM resource WHERE id=?", [.number(Int64(id))]) {
      row in
      guard let resource = Resource(name: text(row, 0)) else { return }
      bounds[resource] = Bounds(
        barrier: sqlite3_column_int64(row, 1), limit: sqlite3_column_int64(row, 2))
    }
    return bounds
  }

  /// maxheld, failcnt and denials of an earlier life go on.
  func resume(_ one: Accounting) {
    run("SELECT resource, maxheld, failcnt FROM resource WHERE id=?", [.number(Int64(one.id))]) {
      row in
      guard let resource = Resource(name: text(row, 0)) else { return }
      one.ledger.resume(
        resource, maxheld: sqlite3_column_int64(row, 1), failcnt: sqlite3_column_int64(row, 2))
    }
    var denials: [Report.Denial] = []
    run(
      """
      SELECT resource, count, errno, pid, comm, call, detail, amount, coalesce(frames, ''), coalesce(witnessed, 0),
      coalesce(injected, 0), arguments, thread, thread_name FROM denial LEFT JOIN blame USING(id, n) WHERE id=? ORDER BY n
      """, [.number(Int64(one.id))]
    ) { row in
      guard let resource = Resource(name: text(row, 0)) else { return }
      denials.append(
        .init(
          resource: resource, count: sqlite3_column_int64(row, 1), errno: text(row, 2),
          pid: Int32(sqlite3_column_int64(row, 3)),
          comm: text(row, 4), call: text(row, 5), detail: text(row, 6), arguments: text(row, 11),
          amount: sqlite3_column_int64(row, 7), thread: Int32(sqlite3_column_int64(row, 12)),
          threadName: text(row, 13),
          frames: Frame.stack(text(row, 8)), witnessed: sqlite3_column_int64(row, 9),
          injected: sqlite3_column_int64(row, 10) != 0))
    }
    one.resume(denials)
  }

  /// What was open outside, and which processes hold it: as long as they live, they tell it from
  /// what is obtained inside.
  func saveOutside(_ one: Accounting) {
    together {
      run("DELETE FROM outside WHERE id=?", [.number(Int64(one.id))])
      for (pid, fds) in one.outside.map({ ($0.pid, $0.fds) }) {
        guard let started = Procfs.stat(pid)?.startTime else { continue }
        let text = fds.map(String.init).joined(separator: " ")
        run(
          "INSERT INTO outside VALUES(?, ?, ?, ?)",
          [.number(Int64(one.id)), .number(Int64(pid)), .number(started), .text(text)])
      }
    }
  }

  func outside(of id: Int) -> [Outside] {
    var found: [Outside] = []
    run("SELECT pid, started, fds FROM outside WHERE id=?", [.number(Int64(id))]) { row in
      let pid = Int32(sqlite3_column_int64(row, 0))
      guard Procfs.stat(pid)?.startTime == sqlite3_column_int64(row, 1) else { return }
      found.append(
        Outside(pid: pid, fds: text(row, 2).split(separator: " ").compactMap { Int32($0) }))
    }
    return found
  }
}
