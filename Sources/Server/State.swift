internal import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Witness
private import CSQLite

/// What outlives the server: names, tokens, bounds, maxheld, failcnt and denials, in SQLite.
/// Written through before a program hears of a denial, so that `kill -9` loses nothing; a power cut
/// may lose the last moments (synchronous=OFF: held is learned from the kernel in any case).
public final class State {
  /// Beancounters whose figures moved since the last flush.
  private var dirty: Set<Int> = []
  func touch(_ one: Accounting) { dirty.insert(one.id) }
  private let database: OpaquePointer
  private var statements: [String: OpaquePointer] = [:]
  private var written: [Int: [Figures]] = [:]
  /// The disk is full, or its like: the figures are kept here and written when it can be done
  /// again.
  public private(set) var trouble: String? {
    didSet { if trouble != oldValue { onTrouble(trouble) } }
  }
  /// Told what is wrong, and nil when all has been written after all.
  public var onTrouble: (String?) -> Void = { _ in }
  /// Beancounters whose names and bounds could not be written, or not be forgotten.
  private var unsaved: Set<Int> = []
  private var unforgotten: Set<Int> = []

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
      meminfo INTEGER NOT NULL DEFAULT 0, reclaims INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE IF NOT EXISTS resource(id INTEGER NOT NULL, resource TEXT NOT NULL, barrier INTEGER NOT NULL, "limit" INTEGER
      NOT NULL, maxheld INTEGER NOT NULL, failcnt INTEGER NOT NULL, PRIMARY KEY(id, resource)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS denial(id INTEGER NOT NULL, n INTEGER NOT NULL, resource TEXT NOT NULL, errno TEXT NOT NULL,
      pid INTEGER NOT NULL, comm TEXT NOT NULL, call TEXT NOT NULL, detail TEXT NOT NULL, amount INTEGER NOT NULL,
      count INTEGER NOT NULL, PRIMARY KEY(id, n)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS blame(id INTEGER NOT NULL, n INTEGER NOT NULL, frames TEXT NOT NULL, witnessed INTEGER NOT NULL,
      injected INTEGER NOT NULL, PRIMARY KEY(id, n)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS born(id INTEGER PRIMARY KEY, seconds INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS kept(id INTEGER NOT NULL, what TEXT NOT NULL, PRIMARY KEY(id, what)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS outside(id INTEGER NOT NULL, pid INTEGER NOT NULL, started INTEGER NOT NULL, fds TEXT NOT NULL,
      PRIMARY KEY(id, pid)) STRICT, WITHOUT ROWID;
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
    // A database from before these; one that has the column says so, which is as good.
    for column in ["meminfo", "reclaims"] {
      sqlite3_exec(
        handle, "ALTER TABLE beancounter ADD COLUMN \(column) INTEGER NOT NULL DEFAULT 0", nil, nil,
        nil)
    }
    for column in [
      "arguments TEXT NOT NULL DEFAULT ''", "thread INTEGER NOT NULL DEFAULT 0",
      "thread_name TEXT NOT NULL DEFAULT ''",
    ] {
      sqlite3_exec(handle, "ALTER TABLE denial ADD COLUMN \(column)", nil, nil, nil)
    }
  }

  deinit {
    for statement in statements.values { sqlite3_finalize(statement) }
    sqlite3_close(database)
  }

  // MARK: Statements

  enum Value {
    case number(Int64)
    case text(String)
  }

  @discardableResult func run(
    _ sql: String, _ values: [Value] = [], _ row: (OpaquePointer) -> Void = { _ in }
  ) -> Bool {
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
        sqlite3_bind_text(
          statement, Int32(i + 1), text, -1, unsafeBitCast(-1, to: sqlite3_destructor_type.self))
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
    failures += 1
    trouble = String(cString: sqlite3_errmsg(database))
    return false
  }

  func text(_ row: OpaquePointer, _ i: Int32) -> String {
    sqlite3_column_text(row, i).map { String(cString: $0) } ?? ""
  }

  private var failures = 0
  /// A disk that is full is not asked with every question.
  private var nextTry: Int64 = 0
  private static let patience: Int64 = 100

  /// All of it or nothing; false: nothing.
  @discardableResult func together(_ body: () -> Void) -> Bool {
    guard run("BEGIN IMMEDIATE") else { return false }
    let before = failures
    body()
    if failures == before, run("COMMIT") { return true }
    sqlite3_exec(database, "ROLLBACK", nil, nil, nil)  // it may have ended by itself
    return false
  }

  // MARK: Writing

  /// All of one: when it is made, or gets new bounds.
  func save(_ one: Accounting) {
    unforgotten.remove(one.id)
    let done = together {
      run(
        """
        INSERT INTO beancounter(id, name, parent, token, openvz, allow, meminfo, reclaims) VALUES(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET
        name=excluded.name, parent=excluded.parent, token=excluded.token, openvz=excluded.openvz, allow=excluded.allow,
        meminfo=excluded.meminfo, reclaims=excluded.reclaims, lives=1
        """,
        [
          .number(Int64(one.id)), .text(one.name), .number(Int64(one.parent?.id ?? 0)),
          .text(one.token.text),
          .number(one.settings.openvzErrno ? 1 : 0),
          .number(one.settings.allowOnServerLoss ? 1 : 0),
          .number(one.settings.meminfo ? 1 : 0),
          .number(one.settings.reclaims ? 1 : 0),
        ])
      run("INSERT OR IGNORE INTO born VALUES(?, ?)", [.number(Int64(one.id)), .number(one.born)])
      for resource in Resource.allCases {
        let account = one.ledger[resource]
        run(
          """
          INSERT INTO resource VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(id, resource) DO UPDATE SET barrier=excluded.barrier,
          "limit"=excluded."limit", maxheld=excluded.maxheld, failcnt=excluded.failcnt
          """,
          [
            .number(Int64(one.id)), .text(resource.name), .number(account.bounds.barrier),
            .number(account.bounds.limit),
            .number(account.maxheld), .number(account.failcnt),
          ])
      }
    }
    guard done else {
      unsaved.insert(one.id)
      return
    }
    unsaved.remove(one.id)
    written[one.id] = figures(one)
  }

  /// Shared memory that it has to pay for.
  func saveKept(_ one: Accounting) {
    together {
      run("DELETE FROM kept WHERE id=?", [.number(Int64(one.id))])
      for kept in one.kept {
        run("INSERT INTO kept VALUES(?, ?)", [.number(Int64(one.id)), .text(kept.text)])
      }
    }
  }

  func resumeKept(_ one: Accounting) {
    run("SELECT what FROM kept WHERE id=?", [.number(Int64(one.id))]) { row in
      if let kept = Kept(text(row, 0)) { one.kept.insert(kept) }
    }
    run("SELECT seconds FROM born WHERE id=?", [.number(Int64(one.id))]) {
      one.born = sqlite3_column_int64($0, 0)
    }
  }

  private func figures(_ one: Accounting) -> [Figures] {
    Resource.allCases.map {
      Figures(maxheld: one.ledger[$0].maxheld, failcnt: one.ledger[$0].failcnt)
    }
  }

  /// Its process has gone, its counters are kept for when its id comes back; `wholly` forgets those
  /// too.
  func forget(_ one: Accounting, wholly: Bool = true) {
    unsaved.remove(one.id)
    forget(one.id, wholly: wholly)
    written[one.id] = nil
  }

  private func forget(_ n: Int, wholly: Bool) {
    let id: [Value] = [.number(Int64(n))]
    let done = together {
      if wholly {
        for table in ["beancounter", "resource", "denial", "blame", "born", "kept", "outside"] {
          run("DELETE FROM \(table) WHERE id=?", id)
        }
      } else {
        run("UPDATE beancounter SET lives=0 WHERE id=?", id)
      }
    }
    if done { unforgotten.remove(n) } else { unforgotten.insert(n) }
  }

  /// What moved since the last time, in one transaction.
  func flush(_ all: [Int: Accounting]) {
    let mustWrite = !dirty.isEmpty || !unsaved.isEmpty || !unforgotten.isEmpty
    guard mustWrite, trouble == nil || Clock.milliseconds() >= nextTry else { return }
    nextTry = Clock.milliseconds() + State.patience
    for id in unsaved { if let one = all[id] { save(one) } }
    for id in unforgotten { forget(id, wholly: true) }
    let moved = dirty.compactMap { all[$0] }
    let done = together {
      for one in moved {
        let now = figures(one)
        for (i, resource) in Resource.allCases.enumerated() where written[one.id]?[i] != now[i] {
          run(
            "UPDATE resource SET maxheld=?, failcnt=? WHERE id=? AND resource=?",
            [
              .number(now[i].maxheld), .number(now[i].failcnt), .number(Int64(one.id)),
              .text(resource.name),
            ])
        }
        flushDenials(one)
      }
    }
    guard done else { return }
    dirty = []
    if unsaved.isEmpty, unforgotten.isEmpty { trouble = nil }
    for one in moved {
      written[one.id] = figures(one)
      one.changedDenials = []
    }
  }

  private func flushDenials(_ one: Accounting) {
    for n in one.changedDenials {
      let d = one.denials[n]
      run(
        "INSERT INTO denial VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id, n) DO UPDATE SET count=excluded.count",
        [
          .number(Int64(one.id)), .number(Int64(n)), .text(d.resource.name), .text(d.errno),
          .number(Int64(d.pid)), .text(d.comm),
          .text(d.call), .text(d.detail), .number(d.amount), .number(d.count),
          .text(d.arguments), .number(Int64(d.thread)), .text(d.threadName),
        ])
      guard !d.frames.isEmpty || d.injected else { continue }
      run(
        "INSERT INTO blame VALUES(?, ?, ?, ?, ?) ON CONFLICT(id, n) DO UPDATE SET frames=excluded.frames, witnessed=excluded.witnessed",
        [
          .number(Int64(one.id)), .number(Int64(n)), .text(Frame.text(of: d.frames)),
          .number(d.witnessed), .number(d.injected ? 1 : 0),
        ])
    }
  }
}
