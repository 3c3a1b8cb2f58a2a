import Foundation
import Glibc
import Testing

extension RealPrograms {
  @Suite struct Redis {
    let scratch = try! Scratch()
    let port: String
    let server, cli, benchmark: String

    init() throws {
      (port, server, cli) = (try freePort(), try tool("redis-server"), try tool("redis-cli"))
      benchmark = try tool("redis-benchmark")
    }

    var command: [String] {
      [
        server, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
        scratch.path,
      ]
    }

    func ask(_ arguments: String..., input: Data = Data()) throws -> Ended {
      try run([cli, "-p", port] + arguments, input: input)
    }

    func ready(_ child: Child) throws {
      try child.until("redis") { child.output.contains("Ready to accept connections") }
    }

    /// What a bare server and one in a beancounter are both asked.
    func session(_ child: Child) throws -> [String] {
      try ready(child)
      var said = [String]()
      let script =
        "SET a 1\nINCR a\nLPUSH l x y z\nLRANGE l 0 -1\nSETRANGE big 20000000 end\nSTRLEN big\nDEL big\nBGSAVE\nGET nothing\n"
      said.append(try ask(input: Data(script.utf8)).output)
      for _ in 0..<200
      where try !ask("INFO", "persistence").output.contains("rdb_bgsave_in_progress:0") {
        usleep(20000)
      }
      said.append(
        String(try ask("INFO", "persistence").output.contains("rdb_last_bgsave_status:ok")))
      let bench = try run([
        benchmark, "-p", port, "-n", "5000", "-c", "20", "-q", "-t", "set,get,lpush",
      ])
      said.append(
        "benchmark \(bench.code ?? -1) \(occurrences("requests per second", in: bench.output) >= 3)"
      )
      said.append(try ask("LLEN", "mylist").output)
      _ = try ask("SHUTDOWN", "NOSAVE")
      // The next server would load it
      try FileManager.default.removeItem(atPath: "\(scratch.path)/dump.rdb")
      return said
    }

    @Test func underLoadWithinItsLimits() throws {
      let bare = try Child(command)
      let expected = try session(bare)
      try #require(bare.wait().code == 0)
      #expect(expected.suffix(3) == ["true", "benchmark 0 true", "5000\n"])
      let counted = try Background(
        [
          "--numfile", "100", "--numtcpsock", "40", "--numothersock", "10", "--numproc", "10",
          "--privvmpages", "512M",
        ],
        command)
      #expect(try session(counted.child) == expected)
      let r = try counted.end()
      #expect(r.ended.code == 0)
      #expect(try r.report.row("numtcpsock").maxheld >= 20)
      r.within()
    }

    @Test func moreClientsThanSockets() throws {
      let b = try Background(["--numtcpsock", "8"], command)
      try ready(b.child)
      // redis-benchmark never lets go of a connection while others wait for their first answer: it
      // is stopped.
      let bench = try run([
        "timeout", "3", benchmark, "-p", port, "-n", "2000", "-c", "20", "-q", "-t", "set",
      ])
      #expect(bench.code == 124)
      try b.child.until("answer") { (try? ask("PING").output) == "PONG\n" }
      _ = try ask("SHUTDOWN", "NOSAVE")
      let r = try b.end()
      #expect(r.ended.code == 0)
      #expect(try r.report.row("numtcpsock").maxheld == 8)
      try r.refused(
        "numtcpsock", occurrences("Too many open files in system", in: r.ended.output),
        errno: "ENFILE")
    }

    /// Grows until it is refused, and ends as under the kernel's own bound.
    func outgrow(_ child: Child) throws {
      try ready(child)
      let value = Data(repeating: 120, count: 8 << 20)
      for i in 0..<60 where child.isAlive { _ = try ask("-x", "SET", "key\(i)", input: value) }
      if child.isAlive { _ = try ask("SHUTDOWN", "NOSAVE") }  // it should not be
    }

    @Test func memoryEndsItAsUnderUlimit() throws {
      let bare = try Child(["bash", "-c", "ulimit -c 0 -d 262144; exec \"$@\"", "bash"] + command)
      try outgrow(bare)
      let kernel = try bare.wait()
      #expect(kernel.output.contains("Out Of Memory"))
      let b = try Background(
        ["--privvmpages", "256M"], ["bash", "-c", "ulimit -c 0; exec \"$@\"", "bash"] + command)
      try outgrow(b.child)
      let r = try b.end()
      #expect(r.ended.output.contains("Out Of Memory"))
      #expect(r.ended.signal == kernel.signal)
      #expect(r.ended.code == kernel.code)
      let row = try r.report.row("privvmpages")
      #expect(row.maxheld <= 65536)
      #expect(row.maxheld > 65536 - 24 * 256)
      try r.refused("privvmpages", errno: "ENOMEM")
    }
  }
}

extension Child {
  var isAlive: Bool {
    var info = siginfo_t()
    return waitid(P_PID, id_t(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_signo == 0
  }
}
