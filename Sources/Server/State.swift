internal import Beancounters
internal import CLinux
internal import Command
internal import Witness
private import CSQLite

/// What outlives the server: names, tokens, bounds, maxheld, failcnt and denials, in SQLite. Written through before a
/// program hears of a denial, so that `kill -9` loses nothing; a power cut may lose the last moments (synchronous=OFF:
/// held is learned from the kernel in any case).
public final class State {
  /// Some figure moved since the last flush.
  var isDirty = false
  private let database: OpaquePointer
  private var statements: [String: OpaquePointer] = [:]
  private var written: [Int: [Figures]] = [:]
  /// The disk is full, or its like: the figures are kept here and written when it can be done again.
  public private(set) var trouble: String?

  private struct Figures: Equatable {
    var maxheld: Int64
    var failcnt: Int64
  }

  public struct Failure: Error {
    public var text: String
  }

  private static let schema = """
    PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA busy_timeout=0;
    CREATE TABLE IF NOT EXISTS beancounter(id INTEGER PRIMARY KEY, name TEXT NOT NULL, parent INTEGER, token TEXT NOT NULL,
      openvz INTEGER NOT NULL, allow INTEGER NOT NULL, lives INTEGER NOT NULL DEFAULT 1,
      meminfo INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE IF NOT EXISTS resource(id INTEGER NOT NULL, resource TEXT NOT NULL, barrier INTEGER NOT NULL, "limit" INTEGER
      NOT NULL, maxheld INTEGER NOT NULL, failcnt INTEGER NOT NULL, PRIMARY KEY(id, resource)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS denial(id INTEGER NOT NULL, n INTEGER NOT NULL, resource TEXT NOT NULL, errno TEXT NOT NULL,
      pid INTEGER NOT NULL, comm TEXT NOT NULL, call TEXT NOT NULL, detail TEXT NOT NULL, amount INTEGER NOT NULL,
      count INTEGER NOT NULL, PRIMARY KEY(id, n)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS blame(id INTEGER NOT NULL, n INTEGER NOT NULL, frames TEXT NOT NULL, witnessed INTEGER NOT NULL,
      injected INTEGER NOT NULL, PRIMARY KEY(id, n)) STRICT, WITHOUT ROWID;
    """

  /// Opens or makes the file. Throws with what people can do about it.
  public init(path: String) throws(Failure) {
    var handle: OpaquePointer?
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
    guard sqlite3_open_v2(path, &handle, flags, nil) == SQLITE_OK, let handle else {
      let why = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "no memory"
      sqlite3_close(handle)
      throw Failure(text: "--state \(path): \(why); give a file that can be written")
    }
    database = handle
    guard sqlite3_exec(handle, State.schema, nil, nil, nil) == SQLITE_OK else {
      let why = String(cString: sqlite3_errmsg(handle))
      sqlite3_close(handle)
      throw Failure(text: "--state \(path): \(why); give a database that bcd made, or a new name")
    }
    // A database from before --meminfo; one that has the column says so, which is as good.
    sqlite3_exec(handle, "ALTER TABLE beancounter ADD COLUMN meminfo INTEGER NOT NULL DEFAULT 0", nil, nil, nil)
    for column in ["arguments TEXT NOT NULL DEFAULT ''", "thread INTEGER NOT NULL DEFAULT 0", "thread_name TEXT NOT NULL DEFAULT ''"] {
      sqlite3_exec(handle, "ALTER TABLE denial ADD COLUMN \(column)", nil, nil, nil)
    }
  }

  deinit {
    for statement in statements.values { sqlite3_finalize(statement) }
    sqlite3_close(database)
  }

  // MARK: Statements

  private enum Value {
    case number(Int64)
    case text(String)
  }

  @discardableResult private func run(_ sql: String, _ values: [Value] = [], _ row: (OpaquePointer) -> Void = { _ in }) -> Bool {
    if statements[sql] == nil {
      var made: OpaquePointer?
      guard sqlite3_prepare_v2(database, sql, -1, &made, nil) == SQLITE_OK else { return failed() }
      statements[sql] = made
    }
    guard let statement = statements[sql] else { return false }
    defer { sqlite3_reset(statement) }
    for (i, value) in values.enumerated() {
      switch value {
      case .number(let n): sqlite3_bind_int64(statement, Int32(i + 1), n)
      case .text(let text):
        // SQLITE_TRANSIENT: SQLite copies it.
        sqlite3_bind_text(statement, Int32(i + 1), text, -1, unsafeBitCast(-1, to: sqlite3_destructor_type.self))
      }
    }
    while true {
      switch sqlite3_step(statement) {
      case SQLITE_ROW: row(statement)
      case SQLITE_DONE: return true
      default: return failed()
      }
    }
  }

  private func failed() -> Bool {
    trouble = String(cString: sqlite3_errmsg(database))
    return false
  }

  private func text(_ row: OpaquePointer, _ i: Int32) -> String {
    sqlite3_column_text(row, i).map { String(cString: $0) } ?? ""
  }

  private func together(_ body: () -> Void) {
    guard run("BEGIN IMMEDIATE") else { return }
    let before = trouble
    body()
    if trouble == before, run("COMMIT") { trouble = nil } else { run("ROLLBACK") }
  }

  // MARK: What is kept

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
    run("SELECT id, name, parent, token, openvz, allow, meminfo FROM beancounter WHERE lives=1 ORDER BY id") { row in
      guard let token = Token(text(row, 3)) else { return }
      found.append(
        Saved(
          id: Int(sqlite3_column_int64(row, 0)), name: text(row, 1),
          parent: sqlite3_column_type(row, 2) == SQLITE_NULL || sqlite3_column_int64(row, 2) == 0 ? nil : Int(sqlite3_column_int64(row, 2)),
          token: token,
          settings: Settings(
            bounds: [:], allowOnServerLoss: sqlite3_column_int64(row, 5) != 0, openvzErrno: sqlite3_column_int64(row, 4) != 0,
            meminfo: sqlite3_column_int64(row, 6) != 0)))
    }
    for i in found.indices { found[i].settings.bounds = bounds(of: found[i].id) }
    var ordered: [Saved] = []
    while let i = found.firstIndex(where: { one in one.parent == nil || ordered.contains { $0.id == one.parent } }) {
      ordered.append(found.remove(at: i))
    }
    return ordered
  }

  private func bounds(of id: Int) -> [Resource: Bounds] {
    var bounds: [Resource: Bounds] = [:]
    run("SELECT resource, barrier, \"limit\" FROM resource WHERE id=?", [.number(Int64(id))]) { row in
      guard let resource = Resource(name: text(row, 0)) else { return }
      bounds[resource] = Bounds(barrier: sqlite3_column_int64(row, 1), limit: sqlite3_column_int64(row, 2))
    }
    return bounds
  }

  /// maxheld, failcnt and denials of an earlier life go on.
  func resume(_ one: Accounting) {
    run("SELECT resource, maxheld, failcnt FROM resource WHERE id=?", [.number(Int64(one.id))]) { row in
      guard let resource = Resource(name: text(row, 0)) else { return }
      one.ledger.resume(resource, maxheld: sqlite3_column_int64(row, 1), failcnt: sqlite3_column_int64(row, 2))
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
          resource: resource, count: sqlite3_column_int64(row, 1), errno: text(row, 2), pid: Int32(sqlite3_column_int64(row, 3)),
          comm: text(row, 4), call: text(row, 5), detail: text(row, 6), arguments: text(row, 11),
          amount: sqlite3_column_int64(row, 7), thread: Int32(sqlite3_column_int64(row, 12)), threadName: text(row, 13),
          frames: Frame.stack(text(row, 8)), witnessed: sqlite3_column_int64(row, 9), injected: sqlite3_column_int64(row, 10) != 0))
    }
    one.resume(denials)
  }

  /// All of one: when it is made, or gets new bounds.
  func save(_ one: Accounting) {
    together {
      run(
        """
        INSERT INTO beancounter(id, name, parent, token, openvz, allow, meminfo) VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET
        name=excluded.name, parent=excluded.parent, token=excluded.token, openvz=excluded.openvz, allow=excluded.allow,
        meminfo=excluded.meminfo, lives=1
        """,
        [
          .number(Int64(one.id)), .text(one.name), .number(Int64(one.parent?.id ?? 0)), .text(one.token.text),
          .number(one.settings.openvzErrno ? 1 : 0), .number(one.settings.allowOnServerLoss ? 1 : 0),
          .number(one.settings.meminfo ? 1 : 0),
        ])
      for resource in Resource.allCases {
        let account = one.ledger[resource]
        run(
          """
          INSERT INTO resource VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(id, resource) DO UPDATE SET barrier=excluded.barrier,
          "limit"=excluded."limit", maxheld=excluded.maxheld, failcnt=excluded.failcnt
          """,
          [
            .number(Int64(one.id)), .text(resource.name), .number(account.bounds.barrier), .number(account.bounds.limit),
            .number(account.maxheld), .number(account.failcnt),
          ])
      }
    }
    written[one.id] = figures(one)
  }

  private func figures(_ one: Accounting) -> [Figures] {
    Resource.allCases.map { Figures(maxheld: one.ledger[$0].maxheld, failcnt: one.ledger[$0].failcnt) }
  }

  /// Its process has gone, its counters are kept for when its id comes back; `wholly` forgets those too.
  func forget(_ one: Accounting, wholly: Bool = true) {
    let id: [Value] = [.number(Int64(one.id))]
    together {
      if wholly {
        for table in ["beancounter", "resource", "denial", "blame"] { run("DELETE FROM \(table) WHERE id=?", id) }
      } else {
        run("UPDATE beancounter SET lives=0 WHERE id=?", id)
      }
    }
    written[one.id] = nil
  }

  /// What moved since the last time, in one transaction.
  func flush(_ all: some Collection<Accounting>) {
    guard isDirty else { return }
    isDirty = false
    together {
      for one in all {
        let now = figures(one)
        for (i, resource) in Resource.allCases.enumerated() where written[one.id]?[i] != now[i] {
          run(
            "UPDATE resource SET maxheld=?, failcnt=? WHERE id=? AND resource=?",
            [.number(now[i].maxheld), .number(now[i].failcnt), .number(Int64(one.id)), .text(resource.name)])
        }
        written[one.id] = now
        flushDenials(one)
      }
    }
    if trouble != nil { written = [:]; isDirty = true }
  }

  private func flushDenials(_ one: Accounting) {
    for n in one.changedDenials {
      let d = one.denials[n]
      run(
        "INSERT INTO denial VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id, n) DO UPDATE SET count=excluded.count",
        [
          .number(Int64(one.id)), .number(Int64(n)), .text(d.resource.name), .text(d.errno), .number(Int64(d.pid)), .text(d.comm),
          .text(d.call), .text(d.detail), .number(d.amount), .number(d.count),
          .text(d.arguments), .number(Int64(d.thread)), .text(d.threadName),
        ])
      guard !d.frames.isEmpty || d.injected else { continue }
      run(
        "INSERT INTO blame VALUES(?, ?, ?, ?, ?) ON CONFLICT(id, n) DO UPDATE SET frames=excluded.frames, witnessed=excluded.witnessed",
        [
          .number(Int64(one.id)), .number(Int64(n)), .text(Frame.text(of: d.frames)), .number(d.witnessed), .number(d.injected ? 1 : 0),
        ])
    }
    one.changedDenials = []
  }
}
