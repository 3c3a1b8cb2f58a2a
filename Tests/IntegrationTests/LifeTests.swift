import Foundation
import Glibc
import Testing

extension RealPrograms {
  /// How long a beancounter lives, what is told of it meanwhile, and what it begins with.
  @Suite struct Life {
    private func row(_ bcd: Bcd, _ name: String, _ resource: String) throws -> [String] {
      let line = try #require(try bcd.lines("show", name, resource).last)
      return line.split(separator: " ").map(String.init)
    }

    /// Events of one kind: resource and text.
    private func events(_ bcd: Bcd, _ kind: String) throws -> [String] {
      try bcd.lines("events", "--json").compactMap { line in
        let event = try #require(
          try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        guard event["event"] as? String == kind else { return nil }
        return [event["resource"], event["text"]].compactMap { $0 as? String }.joined(
          separator: " ")
      }
    }

    /// A segment of 5 pages and a file of 7 under /dev/shm, left behind.
    private static let leave = """
      import ctypes, os, sys
      libc = ctypes.CDLL(None)
      segment = libc.shmget(0, 5 * 4096, 0o1600)
      file = libc.shm_open(sys.argv[1].encode(), os.O_RDWR | os.O_CREAT, 0o600)
      assert segment >= 0 and libc.ftruncate(file, 7 * 4096) == 0
      print(segment)
      """

    @Test("what its processes left in memory keeps it, over a restart of the server too")
    func keptByMemory() throws {
      let name = "/beancounter-life-\(getpid())"
      var bcd = try Bcd()
      _ = try bcd.lines("create", "web", "--id", "77", "shmpages=20")
      let segment = try bcd.lines("enter", "web", "--", tool("python3"), "-c", Life.leave, name)
        .first
      let id = try #require(segment.flatMap { Int32($0) })
      defer {
        shm_unlink(name)
        shmctl(id, IPC_RMID, nil)
      }
      try bcd.child.until("end") { (try? bcd.field("web", "members")) == "0" }
      #expect(try bcd.field("web", "shmpages") == "12")
      let refused = try bcd.bcctl("remove", "web")
      #expect(refused.code == 1)
      #expect(
        refused.errors.contains("12 pages of shared memory")
          && refused.errors.contains("segment \(id)"), "\(refused.errors)")

      try bcd.end()
      bcd = try Bcd(at: bcd.scratch)
      #expect(try bcd.field("77", "shmpages,shmpages.m,id") == nil)
      #expect(try bcd.lines("list", "-H", "-o", "id,shmpages,shmpages.m") == ["77  12  12"])
      // Whoever comes next finds so much less room, and the counters of before.
      let next = try bcd.bcctl("enter", "77", "--", tool("python3"), "-c", Life.leave, name + "-2")
      shm_unlink(name + "-2")
      #expect(next.code == 1 && next.errors.contains("AssertionError"))
      #expect(try row(bcd, "77", "shmpages")[5] == "1")
      shm_unlink(name)
      #expect(try bcd.field("web", "shmpages") != "12")
      shmctl(id, IPC_RMID, nil)
      for line in try run([tool("ipcs"), "-mp"]).lines.map({ $0.split(separator: " ") })
      where line.count == 4 && line[1] == "root" {
        // Of the run that was refused
        if let other = Int32(line[0]), other > id { shmctl(other, IPC_RMID, nil) }
      }
      #expect(try bcd.field("web", "shmpages") == "0")
      #expect(try bcd.lines("remove", "web") == [])
      try bcd.end()
    }

    @Test("the beancounter of a run that left memory counts on under its name") func runAgain()
      throws
    {
      let bcd = try Bcd()
      let name = "/beancounter-again-\(getpid())"
      let options = ["--server", bcd.socket, "--name", "job", "--limit", "shmpages=12"]
      let first = try bcrun(options, [tool("python3"), "-c", Life.leave, name])
      let id = try #require(Int32(first.ended.output.trimmingCharacters(in: .newlines)))
      defer {
        shm_unlink(name)
        shmctl(id, IPC_RMID, nil)
      }
      #expect(try first.report.row("shmpages").held == 12)
      #expect(try bcd.lines("list", "-H", "-o", "name,shmpages") == ["job  12"])
      let second = try bcrun(options, [tool("python3"), "-c", Life.leave, name + "-2"])
      #expect(second.ended.code == 1)
      #expect(try second.report.row("shmpages").failcnt == 1)
      shm_unlink(name)
      shmctl(id, IPC_RMID, nil)
      // Nothing is left of it: the server lets it go by itself.
      try bcd.child.until("removal", 10) { (try? bcd.lines("list", "-H")) == [] }
    }

    // MARK: Bounds that change

    @Test("a bound that is raised while a program waits at it lets it go on") func raised() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web", "numfile=5", "numproc=20")
      let waits = try Child([
        "\(Bcd.release)/bcctl", "--socket", bcd.socket, "enter", "web", "--", tool("python3"), "-c",
        """
        import os, time
        files = [os.open('/dev/null', 0) for _ in range(5)]
        print('full', flush=True)
        while len(files) < 6:
          try: files.append(os.open('/dev/null', 0))
          except OSError as e: assert e.errno == 23; time.sleep(0.02)
        print('went on')
        """,
      ])
      try waits.until("full") { waits.output == "full\n" }
      #expect(try row(bcd, "web", "numfile")[1] == "5")
      _ = try bcd.lines("set", "web", "numfile=6")
      #expect(try waits.wait(20).output == "full\nwent on\n")
    }

    @Test("below what is held, it keeps what it has and gets nothing more") func lowered() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web", "numfile=20", "numproc=20")
      let holds = try Child([
        "\(Bcd.release)/bcctl", "--socket", bcd.socket, "enter", "web", "--", tool("python3"), "-c",
        """
        import os, time
        files = [os.open('/dev/zero', 0) for _ in range(8)]
        print('have', flush=True)
        def one():
          try: return os.open('/dev/zero', 0)
          except OSError as e: assert e.errno == 23; return -1
        while (fd := one()) >= 0: os.close(fd); time.sleep(0.02)
        print('no more')
        if all(os.read(fd, 1) == b'\\0' for fd in files): print('kept')
        for fd in files[:4]: os.close(fd)
        if one() >= 0: print('one')
        if one() < 0: print('not two')
        """,
      ])
      try holds.until("held") { holds.output.hasPrefix("have\n") }
      _ = try bcd.lines("set", "web", "numfile=5")
      #expect(try holds.wait(20).output == "have\nno more\nkept\none\nnot two\n")
      #expect(
        try events(bcd, "over").contains { $0.hasPrefix("numfile ") && $0.hasSuffix(" held") })
      #expect(try events(bcd, "set").contains("numfile 5:5"))
    }

    /// Memory too: what is freed below a lowered bound is not to be had again.
    @Test func loweredMemory() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web", "privvmpages=256M")
      let holds = try Child([
        "\(Bcd.release)/bcctl", "--socket", bcd.socket, "enter", "web", "--", tool("python3"), "-c",
        """
        import mmap, sys, time
        def get(mb):
          try: return mmap.mmap(-1, mb << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
          except OSError as e: return None
        big = get(100)
        print('have', flush=True)
        while True:
          small = get(1)
          if small is None: break
          small.close(); time.sleep(0.02)
        print('no more'); big[5] = 7; print('kept', big[5])
        big.close(); time.sleep(0.5)
        print('beyond', get(60) is not None, 'within', get(20) is not None)
        """,
      ])
      try holds.until("held") { holds.output == "have\n" }
      _ = try bcd.lines("set", "web", "privvmpages=50M")
      #expect(try holds.wait(20).output == "have\nno more\nkept 7\nbeyond False within True\n")
    }

    /// … also not before anybody looks, however it was obtained.
    @Test(arguments: ["map", "heap", "break"]) func freedAndTakenAtOnce(_ kind: String) throws {
      let scratch = try Scratch()
      let compiled = try run([
        tool("gcc"), "-O1", "-o", "\(scratch.path)/lowered", program("lowered.c"),
      ])
      try #require(compiled.code == 0, "\(compiled.errors)")
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web", "privvmpages=256M")
      let fifo = "\(scratch.path)/fifo"
      #expect(mkfifo(fifo, 0o600) == 0)
      let child = try Child(
        [
          "bash", "-c", #"exec "$1" enter web -- "$2" "$3" <> "$4""#, "bash",
          "\(Bcd.release)/bcctl", "\(scratch.path)/lowered", kind, fifo,
        ], env: ["BC_SERVER": bcd.socket])
      let pipe = try #require(FileHandle(forWritingAtPath: fifo))
      try child.until("held") { child.output.hasSuffix("held 100\n") }
      _ = try bcd.lines("set", "web", "privvmpages=50M")
      pipe.write(Data("\n".utf8))
      try child.until("room", 60) { child.output.contains("most ") }
      _ = try bcd.lines("set", "web", "privvmpages=256M")
      pipe.write(Data("\n".utf8))
      let ended = try child.wait(20)
      #expect(ended.code == 0 && !ended.output.contains("not lowered"), "\(ended.output)")
      #expect(ended.number("grown") == 0, "\(ended.output)")
      // What malloc has kept it may give again.
      if kind != "heap" { #expect(ended.number("again") == 70) }
      #expect(ended.number("most") <= 50 << 10 && ended.number("least") >= 46, "\(ended.output)")
      #expect(ended.number("lifted") == 100)
    }

    @Test("a charge goes from leaf to root, at all levels or none") func nested() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "top", "numfile=5")
      for leaf in ["a", "b"] { _ = try bcd.lines("create", leaf, "--parent", "top", "numfile=10") }
      func opener(_ leaf: String) throws -> Child {
        try Child([
          "\(Bcd.release)/bcctl", "--socket", bcd.socket, "enter", leaf, "--", tool("python3"),
          "-c",
          """
          import os, sys, time
          n = 0
          while True:
            try: os.open('/dev/null', 0); n += 1
            except OSError as e: break
            if sys.argv[1] == 'a' and n == 2: break
          print(n, flush=True); time.sleep(20)
          """, leaf,
        ])
      }
      let first = try opener("a")
      try first.until("two files") { first.output == "2\n" }
      let second = try opener("b")
      try second.until("the rest") { second.output == "3\n" }
      let listed = try bcd.lines("list", "-H", "-o", "name,numfile,numfile.m,numfile.f").map {
        $0.split(separator: " ")
      }
      #expect(listed == [["top", "5", "5", "1"], ["a", "2", "2", "0"], ["b", "3", "3", "0"]])
      kill(first.pid, SIGKILL)
      _ = try first.wait(20)
      try bcd.child.until("return") { (try? bcd.field("top", "numfile")) == "3" }
    }

    /// A process that moves below a beancounter which counts it already asks nothing more of that
    /// one, however full it is.
    @Test func moveWithinAFullTree() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "top", "numproc=1")
      for leaf in ["a", "b"] { _ = try bcd.lines("create", leaf, "--parent", "top") }
      let enter = ["\(Bcd.release)/bcctl", "--socket", bcd.socket, "enter"]
      var there = enter + ["a", "--"]
      for leaf in ["b", "a"] { there += enter + [leaf, "--"] }
      let moved = try run(there + ["/bin/echo", "moved"])
      #expect(moved.output == "moved\n", "\(moved.errors)")
      let holds = try Child(enter + ["a", "--", "/bin/sleep", "20"])
      try bcd.child.until("one task") { (try? bcd.field("top", "numproc")) == "1" }
      #expect(try run(enter + ["b", "--", "/bin/true"]).code != 0)
      holds.kill(SIGKILL)
      _ = try holds.wait(20)
      let listed = try bcd.lines("list", "-H", "-o", "name,numproc.m,numproc.f").map {
        $0.split(separator: " ")
      }
      #expect(listed == [["top", "1", "1"], ["a", "1", "0"], ["b", "1", "0"]])
    }

    /// An estimate above the new bound is no use above it.
    @Test func loweredToWhatIsHeld() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web")
      let holds = try Child([
        "\(Bcd.release)/bcctl", "--socket", bcd.socket, "enter", "web", "--", "bash", "-c",
        "exec {f}</dev/null {g}<&$f {h}<&$f {w}< <(sleep 20); echo have; read -t 20 -u $w",
      ])
      try holds.until("held") { holds.output == "have\n" }
      let held = try #require(Int(try bcd.field("web", "numfile") ?? ""))
      _ = try bcd.lines("set", "web", "numfile=\(held)")
      #expect(try events(bcd, "over") == [])
      _ = try bcd.lines("set", "web", "numfile=\(held - 1)")
      #expect(try events(bcd, "over") == ["numfile \(held) held"])
    }

    @Test("use that a look finds beyond a barrier is told once") func crossing() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web", "othersockbuf=100000:200000")
      let fills = try Child([
        "\(Bcd.release)/bcctl", "--socket", bcd.socket, "enter", "web", "--", tool("python3"), "-c",
        """
        import socket, time
        a, b = socket.socketpair()
        a.setblocking(False)
        try:
          while True: a.send(b'x' * 4096)
        except BlockingIOError: print('full', flush=True)
        time.sleep(20)
        """,
      ])
      try fills.until("full") { fills.output == "full\n" }
      for _ in 0..<3 { _ = try bcd.field("web", "othersockbuf") }
      #expect(try events(bcd, "barrier").count { $0.hasPrefix("othersockbuf ") } == 1)
      let cells = try row(bcd, "web", "othersockbuf")
      #expect(cells[6] == "view")
      #expect(
        try bcd.lines("holders", "web", "othersockbuf").first?.hasPrefix("python3[\(fills.pid)]: ")
          == true)
    }

    // MARK: bcd --config

    @Test("beancounters from files, made or given the files' bounds") func configured() throws {
      let scratch = try Scratch()
      let site = try scratch.write(
        "site.toml",
        "[beancounter.site]\nnumproc = 200\n[beancounter.web]\nparent = \"site\"\nnumfile = \"10:20\"\n"
      )
      let old = try scratch.write(
        "101.conf", "NUMFILE=\"5:6\"\nKMEMSIZE=\"1M:2M\"\nHOSTNAME=\"x\"\n")
      var bcd = try Bcd(["--config", site, "--config=\(old)"], at: scratch)
      #expect(bcd.child.errors == "bcd: \(old): counted, not enforced: kmemsize\n")
      let listed = try bcd.lines(
        "list", "-H", "-o", "name,parent,numfile.b,numfile.l,numproc.b", "-s", "name")
      #expect(
        listed.map { $0.split(separator: " ") } == [
          ["101", "-", "5", "6", "unlimited"], ["site", "-", "unlimited", "unlimited", "200"],
          ["web", "site", "10", "20", "unlimited"],
        ])
      #expect(try bcd.field("101", "id") == "101")
      _ = try bcd.lines("set", "web", "numfile=15", "numproc=7")
      try bcd.end()
      bcd = try Bcd(["--config", site], at: scratch)
      // The file's word is the last, what it does not say stays.
      #expect(
        try bcd.lines("list", "-H", "-o", "name,numfile.b,numproc.b", "-s", "name").last?.split(
          separator: " ") == ["web", "10", "7"])
      try bcd.end()
    }

    @Test("a file that is wrong says where, and nothing is begun") func misconfigured() throws {
      let scratch = try Scratch()
      let good = try scratch.write("good.toml", "[beancounter.a]\nnumfile = 3\n")
      let bad = try scratch.write("bad.conf", "NUMFILE=\"5:6\"\nNUMPROC=\"many\"\n")
      let bcd = "\(Bcd.release)/bcd"
      let socket = ["--socket", "\(scratch.path)/s", "--state", "\(scratch.path)/db"]
      let ended = try run([bcd] + socket + ["--config", good, "--config", bad])
      #expect(ended.code == 1)
      #expect(
        ended.errors.contains("\(bad):2: ") && ended.errors.contains("\"many\"")
          && ended.errors.contains("accepted: "), "\(ended.errors)")
      let orphan = try scratch.write(
        "orphan.toml", "[beancounter.b]\nparent = \"nobody\"\nnumfile = 3\n")
      let lost = try run([bcd] + socket + ["--config", good, "--config", orphan])
      #expect(lost.code == 1)
      #expect(
        lost.errors
          == "bcd: \(orphan): b is to be in nobody, which no file before this one names; name it before\n"
      )
      // Nothing of the good file was made, then or now.
      let server = try Bcd(["--state", "\(scratch.path)/db"], at: scratch)
      #expect(try server.lines("list", "-H") == [])
      try server.end()
    }

    @Test func optionsOfBcd() throws {
      let bcd = "\(Bcd.release)/bcd"
      let help = try run([bcd, "--help"])
      #expect(help.code == 0 && help.errors.isEmpty)
      for option in ["--socket", "--state", "--config", "--version"] {
        #expect(help.output.contains(option))
      }
      #expect(help.output.split(separator: "\n").allSatisfy { $0.count <= 80 })
      for (words, said) in [
        (
          ["--sockt", "/x"],
          "bcd: unknown option --sockt; did you mean --socket? bcd --help lists the accepted ones\n"
        ),
        (
          ["--socket"],
          "bcd: --socket needs a value; accepted: a path to listen at, of at most 107 bytes\n"
        ),
        (
          ["--socket", ""],
          "bcd: --socket: cannot read \"\"; accepted: a path to listen at, of at most 107 bytes\n"
        ),
        (["true"], "bcd: \"true\" is no option of bcd; a command is run by bcrun --server\n"),
      ] {
        let ended = try run([bcd] + words)
        #expect(ended.code == 2 && ended.errors == said)
      }
    }

    @Test("names, and bounds that are only counted") func named() throws {
      let bcd = try Bcd()
      for name in ["a/b", "a\nb", String(repeating: "x", count: 65), "123456789"] {
        #expect(try bcd.bcctl("create", name).code == 1, "\(name)")
      }
      // A number is the id, so that neither means another.
      #expect(try bcd.lines("create", "7") == ["7"])
      let counted = try bcd.bcctl("create", "web", "kmemsize=1M", "numfile=3")
      #expect(counted.code == 0 && counted.errors == "bcctl: counted, not enforced: kmemsize\n")
      #expect(
        try bcd.bcctl("set", "web", "dcachesize=5M").errors
          == "bcctl: counted, not enforced: dcachesize\n")
      #expect(try bcd.bcctl("set", "web", "tcpsndbuf=5M").errors == "")
      #expect(try bcd.object("set", "web", "numfile=4", "--json")["ok"] as? Bool == true)
      #expect(try bcd.object("mark", "web", "--json")["ok"] as? Bool == true)
      #expect(try bcd.object("beancounters", "--json")["beancounters"] is [Any])
      let ubc = try #require(try bcd.object("ubc", "--json")["beancounters"] as? [[String: Any]])
      let rows = try #require(ubc.first?["resources"] as? [[String: Any]])
      #expect(
        rows.map { $0["resource"] as? String } == [
          "kmemsize", "tcpsndbuf", "dcachesize", "numfile",
        ])
      #expect(rows.last?["barrier"] as? Int == 4 && rows.last?["status"] as? String == "exact")
      #expect(try bcd.field("web", "numfile.s") == "exact")
      #expect(try bcd.object("remove", "web", "--json")["ok"] as? Bool == true)
    }
  }
}
