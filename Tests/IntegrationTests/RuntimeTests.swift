import Foundation
import Testing

extension RealPrograms {
  @Suite struct Node {
    let node: String

    init() throws { node = try tool("node") }

    @Test func withinItsLimitsNobodyCanTell() throws {
      try same(
        [
          "--numfile", "120", "--numproc", "40", "--numtcpsock", "10", "--numothersock", "20",
          "--privvmpages", "1G",
        ],
        [node, program("work.js")])
    }

    @Test func filesToTheUnit() throws {
      let r = try bcrun(["--numfile", "60"], [node, program("files.js")])
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      #expect(r.ended["code"] == "ENFILE -23")
      #expect(r.ended["shown"] == "60")
      #expect(try r.report.row("numfile").maxheld == 60)
      try r.refused("numfile", r.ended.number("refused"), errno: "ENFILE")
    }

    @Test func buffersToTheBound() throws {
      let bare = try ulimit("-d", 262144, [node, program("grow.js")])
      let r = try bcrun(["--privvmpages", "256M"], [node, program("grow.js")])
      for e in [bare, r.ended] {
        #expect(e.code == 0, "\(e.errors)")
        #expect(e["refused"] == "Array buffer allocation failed")
        #expect(262144 - 2 * 4200...262144 ~= e.number("most"))
      }
      #expect(try r.report.row("privvmpages").maxheld <= 65536)
      try r.refused("privvmpages", errno: "ENOMEM")
    }

    @Test func heapEndsItAsUnderUlimit() throws {
      let bare = try ulimit("-d", 262144, [node, program("heap.js")])
      let r = try bcrun(
        ["--privvmpages", "256M"],
        ["bash", "-c", "ulimit -c 0; exec \"$@\"", "bash", node, program("heap.js")])
      #expect(bare.signal != nil)
      // V8's own abort, or its trap: bare too it is now this, now that
      let ends: [Int32?] = [6, 11]
      #expect(ends.contains(bare.signal) && ends.contains(r.ended.signal))
      // which of V8's many last words it finds differs from run to run, bare too
      try r.refused("privvmpages", errno: "ENOMEM")
    }
  }

  @Suite struct Java {
    let scratch = try! Scratch()
    let java: String

    init() throws {
      java = try tool("java")
      let compiled = try run([tool("javac"), "-d", scratch.path, program("Work.java")])
      try #require(compiled.code == 0, "\(compiled.errors)")
    }

    func command(_ mode: String, _ options: String...) -> [String] {
      [java, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:ErrorFile=\(scratch.path)/hs_err"]
        + options
        + ["-cp", scratch.path, "Work", mode]
    }

    @Test func withinItsLimitsNobodyCanTell() throws {
      let r = try same(
        [
          "--numfile", "120", "--numproc", "60", "--numtcpsock", "10", "--numothersock", "20",
          "--privvmpages", "1G",
        ],
        command("work", "-Xmx128m"))
      #expect(r.ended.output == "work 40 200 child 5 42\n")
    }

    @Test func files() throws {
      let r = try bcrun(["--numfile", "60"], command("files"))
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      #expect(r.ended["message"] == "/dev/null (Too many open files in system)")
      #expect(r.ended.number("listed") == 60)
      #expect(try r.report.row("numfile").maxheld == 60)
      // The JVM's own threads open files too, and are refused as well: each call that was is in
      // failcnt.
      #expect(r.ended.number("refused") == 241)
      try r.refused("numfile", errno: "ENFILE")
    }

    @Test func threads() throws {
      let r = try bcrun(["--numproc", "40"], command("threads"))
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      #expect(r.ended["message"]?.hasPrefix("unable to create native thread") == true)
      #expect(r.ended.number("tasks") == 40)
      #expect(try r.report.row("numproc").maxheld == 40)
      try r.refused("numproc", errno: "EAGAIN")
    }

    /// A heap larger than the bound: the JVM says which mapping failed and exits, as under the
    /// kernel's own bound.
    @Test func heapEndsItAsUnderUlimit() throws {
      let bare = try ulimit("-d", 262144, command("heap", "-Xmx2g"))
      let r = try bcrun(["--privvmpages", "256M"], command("heap", "-Xmx2g"))
      #expect(bare.code == 1)
      #expect(r.ended.code == bare.code)
      #expect(bare.output.contains("insufficient memory for the Java Runtime"))
      #expect(r.ended.output.contains("insufficient memory for the Java Runtime"))
      #expect(r.ended.errors.contains("errno=12"))
      #expect(try r.report.row("privvmpages").maxheld <= 65536)
      try r.refused("privvmpages", errno: "ENOMEM")
    }

    @Test func heapWithinTheBoundIsTheJvmsOwnAffair() throws {
      let r = try bcrun(["--privvmpages", "512M"], command("heap", "-Xmx64m"))
      #expect(r.ended.output == "OutOfMemoryError Java heap space\n")
      r.within()
    }
  }
}
