import Foundation
import Glibc
import Testing

extension RealPrograms {
  /// PostgreSQL refuses to run as root: its server then runs as `nobody`, who stays a member.
  @Suite struct Postgres {
    let scratch = try! Scratch()
    let bin: String
    let port: String

    init() throws {
      bin =
        URL(filePath: try tool("initdb")).resolvingSymlinksInPath().deletingLastPathComponent().path
      port = try freePort()
      chmod(scratch.path, 0o777)
    }

    var asUser: [String] {
      isRoot ? ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] : []
    }
    var environment: [String: String] {
      [
        "HOME": scratch.path, "PGHOST": scratch.path, "PGPORT": port, "PGUSER": "tester",
        "PGDATABASE": "postgres",
      ]
    }
    func initialise(_ data: String) -> [String] {
      asUser + ["\(bin)/initdb", "-D", data, "-U", "tester", "-A", "trust", "-N", "--locale=C"]
    }
    func serve(_ data: String) -> [String] {
      asUser + [
        "\(bin)/postgres", "-D", data, "-k", scratch.path, "-p", port, "-c", "listen_addresses=",
        "-c", "fsync=off",
        "-c", "autovacuum=off", "-c", "shared_buffers=16MB", "-c", "max_connections=40",
      ]
    }
    func client(_ name: String, _ arguments: String...) throws -> Ended {
      try run(asUser + ["\(bin)/\(name)"] + arguments, env: environment, cwd: "/")
    }
    func accepts() -> Bool { (try? client("pg_isready", "-q"))?.code == 0 }

    func load() throws -> [String] {
      #expect(try client("pgbench", "-i", "-s", "1", "-q").code == 0)
      let bench = try client("pgbench", "-c", "4", "-j", "2", "-t", "50", "-n")
      #expect(
        bench.output.contains("number of transactions actually processed: 200/200"),
        "\(bench.errors)")
      return try [
        "select count(*), count(distinct aid) from pgbench_accounts",
        "select (select count(*) from pgbench_history), (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)",
        "select sum(length(repeat(md5(g::text), 300))) from (select g from generate_series(1, 20000) g order by md5(g::text)) x",
      ].map { try client("psql", "-Atc", $0).output }
    }

    @Test func initdbAndPgbenchWithinTheirLimits() throws {
      let limits = [
        "--numfile", "3000", "--numtcpsock", "20", "--numothersock", "60", "--numproc", "40",
        "--privvmpages", "1G",
      ]
      let (one, two) = ("\(scratch.path)/one", "\(scratch.path)/two")
      let bareInit = try run(initialise(one), env: environment, cwd: "/")
      try #require(bareInit.code == 0, "\(bareInit.errors)")
      let r = try bcrun(limits, initialise(two), env: environment, cwd: "/")
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      func plain(_ e: Ended, _ data: String) -> String {
        e.output.replacingOccurrences(of: data, with: "DATA")
      }
      #expect(plain(r.ended, two) == plain(bareInit, one))
      #expect(r.ended.errors == bareInit.errors)
      r.within()

      let bare = try Child(serve(one), env: environment, cwd: "/")
      try bare.until("postgres") { accepts() }
      let expected = try load()
      bare.kill(SIGINT)
      try #require(bare.wait().code == 0)
      let b = try Background(limits, serve(two), env: environment, cwd: "/")
      try b.child.until("postgres") { accepts() }
      #expect(try load() == expected)
      #expect(expected == ["100000|100000\n", "200|t\n", "192000000\n"])
      b.child.kill(SIGINT)
      let s = try b.end()
      #expect(s.ended.code == 0)
      #expect(s.report.uncovered.isEmpty)
      s.within()
    }

    @Test func connectionsBeyondNumprocAreRefusedAndTheServerLives() throws {
      let data = "\(scratch.path)/data"
      try #require(run(initialise(data), env: environment, cwd: "/").code == 0)
      let b = try Background(["--numproc", "10"], serve(data), env: environment, cwd: "/")
      try b.child.until("postgres") { accepts() }
      #expect(try client("pgbench", "-i", "-s", "1", "-q").code == 0)
      let bench = try client("pgbench", "-c", "12", "-t", "20", "-n")
      #expect(bench.code != 0)
      #expect(
        bench.errors.contains(
          "could not fork new process for connection: Resource temporarily unavailable"))
      #expect(
        try client("pgbench", "-c", "2", "-t", "20", "-n").output.contains("processed: 40/40"))
      #expect(try client("psql", "-Atc", "select 6 * 7").output == "42\n")
      b.child.kill(SIGINT)
      let r = try b.end()
      #expect(r.ended.code == 0)
      #expect(try r.report.row("numproc").maxheld == 10)
      try r.refused(
        "numproc",
        occurrences("LOG:  could not fork new process for connection", in: r.ended.errors),
        errno: "EAGAIN")
    }
  }
}
