import Foundation
import Glibc
import Testing

extension RealPrograms {
  @Suite struct Nginx {
    let scratch = try! Scratch()
    let port: String
    let nginx, ab: String

    init() throws {
      (port, nginx, ab) = (try freePort(), try tool("nginx"), try tool("ab"))
      for directory in ["www", "temp"] {
        try FileManager.default.createDirectory(
          atPath: "\(scratch.path)/\(directory)", withIntermediateDirectories: true)
        chmod("\(scratch.path)/\(directory)", 0o777)
      }
      _ = try scratch.write(
        "www/page.html", String(repeating: "a page of some length\n", count: 200))
    }

    /// nginx with a configuration of our own: as root its workers drop to nobody, and stay members.
    func command(workers: Int, daemon: Bool) throws -> [String] {
      let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
        "\($0)_temp_path \(scratch.path)/temp/\($0);"
      }
      let file = try scratch.write(
        "nginx.conf",
        """
        \(isRoot ? "user nobody nogroup;" : "")
        daemon \(daemon ? "on" : "off"); worker_processes \(workers); pid \(scratch.path)/pid;
        error_log \(scratch.path)/error.log info;
        events { worker_connections 256; }
        http {
          access_log off; \(temp.joined(separator: " "))
          server { listen 127.0.0.1:\(port); root \(scratch.path)/www; }
        }
        """)
      return [nginx, "-p", scratch.path, "-e", "\(scratch.path)/error.log", "-c", file]
    }

    func load(_ requests: Int, _ clients: Int) throws -> Ended {
      try run([
        ab, "-q", "-n", "\(requests)", "-c", "\(clients)", "http://127.0.0.1:\(port)/page.html",
      ])
    }

    func answers() -> Bool {
      (try? load(1, 1))?.output.contains("Failed requests:        0") == true
    }

    func expectServed(_ e: Ended, _ n: Int, _ here: SourceLocation = #_sourceLocation) {
      #expect(e.code == 0, "\(e.errors)", sourceLocation: here)
      #expect(e.output.contains("Complete requests:      \(n)\n"), sourceLocation: here)
      #expect(e.output.contains("Failed requests:        0\n"), sourceLocation: here)
      #expect(
        e.output.contains("HTML transferred:       \(n * 4400) bytes\n"), sourceLocation: here)
    }

    @Test func underLoadWithinItsLimits() throws {
      let command = try command(workers: 2, daemon: false)
      let bare = try Child(command)
      try bare.until("nginx") { answers() }
      expectServed(try load(3000, 20), 3000)
      bare.kill(SIGQUIT)
      try #require(bare.wait().code == 0)
      let b = try Background(
        [
          "--numfile", "400", "--numtcpsock", "60", "--numothersock", "20", "--numproc", "10",
          "--privvmpages", "256M",
        ],
        command)
      try b.child.until("nginx") { answers() }
      expectServed(try load(3000, 20), 3000)
      b.child.kill(SIGQUIT)
      let r = try b.end()
      #expect(r.ended.code == 0)
      #expect(try r.report.row("numproc").maxheld == 3)
      r.within()
    }

    @Test func daemonisedWithinItsLimits() throws {
      let start = try command(workers: 1, daemon: true)
      let script = """
        set -e
        "$@"
        for i in {1..200}; do [ -s \(scratch.path)/pid ] && break; sleep 0.05; done
        pid=$(cat \(scratch.path)/pid)
        \(ab) -q -n 500 -c 10 http://127.0.0.1:\(port)/page.html | grep requests:
        kill -QUIT $pid
        while kill -0 $pid 2>/dev/null; do sleep 0.05; done
        """
      let r = try same(ample, ["bash", "-c", script, "bash"] + start)
      #expect(r.ended.output.contains("Complete requests:      500\n"))
    }

    /// On ENFILE nginx stops accepting for half a second; on another errno it would spin.
    @Test("56: a refused accept pauses, and does not spin")
    func pausesWhenSocketsRunOutAndServesAgain() throws {
      let b = try Background(["--numtcpsock", "6"], try command(workers: 1, daemon: false))
      try b.child.until("nginx") { answers() }
      let idle = try Child([tool("python3"), program("idle.py"), port, "12", "2"])
      try b.child.until("refusal") { scratch.read("error.log").contains("failed (23:") }
      #expect(try idle.wait().code == 0)
      let lines = occurrences("\n", in: scratch.read("error.log"))
      #expect(lines < 1000)
      try b.child.until("nginx again") { answers() }
      expectServed(try load(200, 2), 200)
      b.child.kill(SIGQUIT)
      let r = try b.end()
      #expect(r.ended.code == 0)
      #expect(try r.report.row("numtcpsock").maxheld == 6)
      try r.refused(
        "numtcpsock",
        occurrences("failed (23: Too many open files in system)", in: scratch.read("error.log")),
        errno: "ENFILE")
    }
  }
}
