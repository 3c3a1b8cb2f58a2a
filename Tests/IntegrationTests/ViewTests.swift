import Foundation
import Glibc
import Testing

extension RealPrograms {
  /// The files of an OpenVZ kernel's /proc, and /proc/meminfo, as programs inside a beancounter
  /// find them.
  @Suite(
    .disabled(
      if: access("/proc/user_beancounters", F_OK) == 0, "this kernel has beancounters of its own"))
  struct Views {
    let scratch: Scratch
    static let all = "/proc/user_beancounters"

    init() throws { scratch = try Scratch() }

    private func compiled(_ name: String) throws -> String {
      let made = "\(scratch.path)/\(name)"
      let compiler = try run([
        tool("gcc"), "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-o", made,
        program("views/\(name).c"),
      ])
      try #require(compiler.code == 0, "\(compiler.errors)")
      return made
    }

    private func parsed(_ text: String) throws -> Ended {
      let parser = try run([
        tool("python3"), program("views/parse.py"), scratch.write("text", text),
      ])
      #expect(parser.code == 0, "\(parser.errors)\n\(text)")
      return parser
    }

    /// From within /proc, and from a descriptor of it.
    @Test func relativePaths() throws {
      let r = try bcrun(
        ["-m", "512M", "--meminfo"],
        [
          tool("python3"), "-c",
          """
          import os
          proc = os.open('/proc', os.O_RDONLY | os.O_DIRECTORY)
          print(len(os.read(os.open('user_beancounters', os.O_RDONLY, dir_fd=proc), 9999)))
          print(oct(os.stat('bc/1/resources', dir_fd=proc).st_mode), os.access('bc/1/vmaux', os.R_OK, dir_fd=proc))
          os.chdir('/proc')
          print(len(open('user_beancounters').read()), open('meminfo').readline().split()[1:])
          print(os.stat('user_beancounters').st_ino == os.stat('/proc/user_beancounters').st_ino)
          for place, name in (('/proc', 'bc/2/resources'), ('/proc', 'bcd'), ('/tmp', 'user_beancounters')):
            os.chdir(place)
            print(os.path.exists(name))
          """,
        ])
      let size = 13 + 25 * 130
      #expect(
        r.ended.output
          == "\(size)\n0o100400 True\n\(size) ['524288', 'kB']\nTrue\nFalse\nFalse\nFalse\n",
        "\(r.ended.errors)")
      r.within()
    }

    // MARK: The files of beancounters

    static let readers: [(name: String, words: [String])] = [
      ("cat", [all]), ("awk", ["{ print }", all]),
      ("perl", ["-e", "open F, '<', '\(all)' or die; print while <F>"]),
      ("python3", ["-c", "print(open('\(all)').read(), end='')"]),
      ("bash", ["-c", "while IFS= read -r line; do printf '%s\\n' \"$line\"; done <\(all)"]),
      ("sed", ["", all]), ("dd", ["if=\(all)", "bs=1000", "status=none"]),
      ("head", ["-n", "99", all]),
    ]

    /// One process, one file: the one that it reads.
    @Test(arguments: readers) func isReadBy(reader: (name: String, words: [String])) throws {
      let r = try bcrun(
        ["--numfile", "70:80", "--privvmpages", "64M"], [tool(reader.name)] + reader.words)
      #expect(r.ended.errors == "")
      let rows = try parsed(r.ended.output)
      #expect(rows["uid"] == "1")
      let file = try #require(rows["numfile"]).split(separator: " ").compactMap { Int($0) }
      #expect(file[0] == 1 && file[1] >= 1 && Array(file[2...]) == [70, 80, 0])
      #expect(rows["numproc"]?.hasPrefix("1 1 9223372036854775807 ") == true)
      #expect(rows["shmpages"]?.hasPrefix("0 0 ") == true)
      #expect(rows["privvmpages"]?.hasSuffix(" 16384 16384 0") == true)
      r.within()
    }

    /// To the byte what `bcctl beancounters` prints from outside while the reader has its files
    /// open still.
    @Test func isWhatBcctlPrints() throws {
      let hold = try compiled("hold"), bcd = try Bcd()
      let web = [
        "--server", bcd.socket, "--name", "web", "--numfile", "30:40", "--privvmpages", "64M",
      ]
      let reader = try Background(web, [hold, Views.all, "10"])
      try reader.child.until("text") { reader.child.errors == "." }
      let outside = try run(
        ["\(Bcd.release)/bcctl", "beancounters", "web"], env: ["BC_SERVER": bcd.socket]
      ).output
      // What is only looked at may have moved between the two looks.
      func steady(_ text: String) -> [Substring] {
        text.split(separator: "\n").filter { line in
          !["kmemsize", "physpages", "oomguarpages", "dcachesize", "othersockbuf"].contains {
            line.contains($0)
          }
        }
      }
      #expect(steady(outside) == steady(reader.child.output))
      let rows = try parsed(reader.child.output)
      #expect(rows["numfile"] == "10 10 30 40 0")
      // The texts are not memory that the program shares
      #expect(rows["shmpages"]?.hasPrefix("0 0 ") == true)
      reader.child.kill(SIGTERM)
      try reader.end().within()
      try bcd.end()
    }

    /// Charged as any file is.
    @Test func isRefusedAtTheBarrier() throws {
      let r = try bcrun(["--numfile", "5"], [compiled("hold"), Views.all, "6"])
      #expect(r.ended.output == "ENFILE")
      try r.refused("numfile", 1, errno: "ENFILE")
      #expect(try r.report.row("numfile").maxheld == 5)
    }

    /// Each shows its own, also below another; others' are not there.
    @Test func showsItsOwnBeancounter() throws {
      let bcd = try Bcd(), cat = try tool("cat")
      _ = try bcd.lines("create", "web", "--id", "7", "numfile=20:30")
      _ = try bcd.lines("create", "sub", "--parent", "web", "--id", "77", "numproc=9")
      let own = try parsed(try bcd.bcctl("enter", "sub", "--", cat, Views.all).output)
      #expect(own["uid"] == "77")
      #expect(own["numproc"]?.split(separator: " ")[2...] == ["9", "9", "0"])
      // The file that it reads; what it entered with is nobody's.
      #expect(own["numfile"]?.hasPrefix("1 ") == true, "\(own["numfile"] ?? "")")
      let above = try bcd.bcctl("enter", "sub", "--", cat, "/proc/bc/7/resources")
      #expect(above.code == 1 && above.errors.contains("No such file or directory"))
      let other = try bcd.bcctl("enter", "web", "--", cat, "/proc/bc/77/resources")
      #expect(other.code == 1 && other.errors.contains("No such file or directory"))
      // The rows alone, swappages among them; and with the heading and the id in front.
      let rows = try bcd.lines("enter", "sub", "--", cat, "/proc/bc/77/resources")
      #expect(
        rows.count == 21 && rows.allSatisfy { $0.hasPrefix("            ") && $0.utf8.count == 129 }
      )
      #expect(rows.last?.split(separator: " ").first == "swappages")
      let whole = try bcd.lines("enter", "sub", "--", cat, "/proc/bc/resources")
      #expect(
        whole.count == 23 && whole[0] == "Version: 2.5"
          && whole[2].hasPrefix("       77:  kmemsize "))
      #expect(whole.dropFirst(3).count == rows.dropFirst().count)
      let auxiliary = try bcd.lines("enter", "sub", "--", cat, "/proc/bc/77/vmaux")
      #expect(
        auxiliary.map { $0.split(separator: " ").first.map(String.init) } == [
          "\tunused_privvmpages", "\ttmpfs_respages", "\tswap_pages", "\trss", "\tswapin",
          "\tunmap",
        ])
      #expect(auxiliary.allSatisfy { $0.utf8.count == 43 })
      #expect(auxiliary[3].split(separator: " ").last.flatMap { Int($0) } ?? 0 > 50)
      try bcd.end()
    }

    static let calls = """
      open: ok, open of bc/resources: ok, open of its own: ok, open of another: ENOENT, open of nothing: ENOENT, \
      open of a longer name: ENOENT, open below a file: ENOENT, open to write: EACCES, open to read and write: EACCES, \
      open to cut: EACCES, open or make: ok, open new: EEXIST, open a directory: ENOTDIR, open of another to write: ENOENT, \
      open of a folder: EACCES, open of a bad pointer: EFAULT, fopen: ok, fopen to add: EACCES, fopen to update: EACCES, \
      fopen of another: ENOENT, opendir of bc: EACCES, opendir of a file: ENOTDIR, opendir of another: ENOENT, stat: ok, \
      stat: mode 100400; size 0; owner 0:0, stat of its own: ok, stat of its own: mode 100400; size 0; owner 0:0, \
      stat of bc: ok, stat of bc: mode 40111; size 0; owner 0:0, stat of its folder: ok, \
      stat of its folder: mode 40111; size 0; owner 0:0, stat of another: ENOENT, \
      fstat of /proc/user_beancounters: the same, fstat of /proc/meminfo: the same, access: ok, access to read: ok, \
      access to write: EACCES, access to run: EACCES, access to a folder: ok, access to list it: EACCES, \
      access to another: ENOENT, faccessat: ok, euidaccess: ok, readlink: EINVAL, readlink of another: ENOENT, \
      numbers in order: yes, lseek: ok, read again: the same, mapped: the same, shared and writable map: EACCES, \
      write: EBADF, ftruncate: EINVAL, written by another way: no, lines: 26 of 125 bytes, lines after freopen: 21, \
      open with O_CLOEXEC: closes, open without: stays, open with one number free: ok, open with two: ok
      """

    /// Every call that opens or looks, each errno; nothing stays charged.
    @Test(arguments: [[], ["-m", "512M", "--meminfo"]]) func callsOnItsPaths(options: [String])
      throws
    {
      let r = try bcrun(["--numfile", "50"] + options, [compiled("calls"), "1"])
      let expected = Views.calls.split(separator: ", ").map {
        $0.replacingOccurrences(of: ";", with: ",")
      }
      #expect(r.ended.lines.map(String.init) == expected)
      r.within()
    }

    /// Outside nothing changes, nor where the library was told to stay out.
    @Test(arguments: [false, true]) func isNotThereOutside(disabled: Bool) throws {
      let calls = try compiled("calls")
      let out =
        disabled
        ? try bcrun(["--numfile", "50"], [calls, "1"], env: ["BC_DISABLE": "1"]).ended
        : try run([calls, "1"])
      let came = out.lines.filter { $0.contains(": E") }
      #expect(came.count > 40)
      #expect(
        came.allSatisfy { $0.hasSuffix(": ENOENT") || $0 == "open of a bad pointer: EFAULT" },
        "\(came)")
      #expect(!out.output.contains(": ok"))
    }

    /// ls(1) asks for attributes too, test(1) for access.
    @Test func toolsThatLook() throws {
      let r = try bcrun(
        ["--numfile", "50"],
        [
          tool("bash"), "-c",
          "ls -l /proc/bc/1/vmaux | cut -c1-10; test -r \(Views.all) && echo reads; test -w \(Views.all) || echo no writes; "
            + "test -d /proc/bc && echo folder; stat -c %F \(Views.all); find \(Views.all) -printf '%y %m\\n'; "
            + "cp \(Views.all) \(scratch.path)/copy && wc -l <\(scratch.path)/copy",
        ])
      #expect(r.ended.errors == "")
      #expect(
        r.ended.lines.map(String.init)
          == ["-r--------", "reads", "no writes", "folder", "regular empty file", "f 400", "26"])
      r.within()
    }

    @Test(.enabled(if: isRoot, "changes its uid")) func isReadAfterRootWasDropped() throws {
      let r = try bcrun(
        ["--numfile", "50"],
        [tool("setpriv"), "--reuid=65534", "--clear-groups", tool("cat"), Views.all])
      #expect(try parsed(r.ended.output)["numfile"] == "1 1 50 50 0")
      r.within()
    }

    /// libuv asks through syscall(2).
    @Test(.enabled(if: (try? tool("node")) != nil, "no node")) func nodeFindsThem() throws {
      let script = """
        fs = require('fs'); file = '\(Views.all)'; fd = fs.openSync(file)
        console.log(fs.readFileSync(file).length, fs.statSync(file).mode.toString(8), fs.fstatSync(fd).ino == fs.statSync(file).ino,
          fs.existsSync('/proc/bc/1/vmaux'), fs.existsSync('/proc/bc/2'))
        """
      let r = try bcrun(["--numfile", "100"], [tool("node"), "-e", script])
      #expect(r.ended.output == "3263 100400 true true false\n", "\(r.ended.errors)")
      r.within()
    }

    @Test func saysWhenTheServerIsLost() throws {
      let bcd = try Bcd()
      let script = "read -r _ <\(Views.all) && echo first; read -r _; cat \(Views.all)"
      let fifo = "\(scratch.path)/go"
      mkfifo(fifo, 0o600)
      let web = [
        "--server", bcd.socket, "--name", "web", "--numfile", "30", "--on-server-loss", "allow",
      ]
      let reader = try Child(
        ["\(repository)/bcrun"] + web + ["--", "bash", "-c", "exec <\(fifo); \(script)"])
      let go = open(fifo, O_WRONLY)
      try reader.until("first") { reader.output == "first\n" }
      bcd.child.kill(SIGKILL)
      _ = try bcd.child.wait()
      write(go, "\n", 1)
      close(go)
      _ = try reader.wait()
      #expect(reader.errors.contains("\(Views.all): Input/output error"), "\(reader.errors)")
    }

    // MARK: --meminfo

    /// Every way to ask says the same; without the option the machine's own.
    @Test func memoryIsTheBeancounters() throws {
      let memory = try compiled("memory")
      let r = try bcrun(["-m", "512M", "--meminfo"], [memory])
      #expect(
        r.ended.lines.map { $0.split(separator: " ")[0] } == [
          "sysinfo", "sysconf", "get_phys_pages", "open", "fopen", "freopen",
        ])
      for line in r.ended.lines {
        let words = line.split(separator: " ").compactMap { Int($0) }
        #expect(words.count == 2 && words[0] == 524_288, "\(line)")
        #expect(words.last.map { 500_000..<524_288 ~= $0 } == true, "\(line)")
      }
      r.within()
      let totals = { (e: Ended) in e.lines.map { $0.split(separator: " ")[1] } }
      #expect(try totals(bcrun(["-m", "512M"], [memory]).ended) == totals(run([memory])))
    }

    /// The machine's lines, in its order, each number in its column.
    @Test func theFileHasTheMachinesForm() throws {
      let machine = text(at: "/proc/meminfo").split(separator: "\n")
      let r = try bcrun(
        ["--privvmpages", "300M:400M", "--meminfo"], [tool("cat"), "/proc/meminfo"])
      let name = { (line: Substring) in line.prefix { $0 != ":" } }
      #expect(r.ended.lines.map(name) == machine.map(name))
      for (own, theirs) in zip(r.ended.lines, machine) {
        #expect(own.hasSuffix(" kB") == theirs.hasSuffix(" kB"), "\(own)")
        let width = own.replacingOccurrences(of: " kB", with: "").utf8.count
        #expect(width == 24 || own == theirs, "\(own)")
      }
      #expect(r.ended.lines.first == "MemTotal:         307200 kB")
      #expect(r.ended.lines.contains("SwapTotal:             0 kB"))
    }

    /// More than the machine has is not shown; a bound that is changed, at once; one above it
    /// counts as well.
    @Test func followsTheBound() throws {
      let memory = try compiled("memory"), bcd = try Bcd()
      let huge = try bcrun(["-m", "900000G", "--meminfo"], [memory])
      let machine = try #require(try run([memory])["open"]).split(separator: " ")[0]
      #expect(huge.ended["open"]?.split(separator: " ").first == machine)
      _ = try bcd.lines("create", "web", "privvmpages=100M")
      let script =
        "read -r a </proc/meminfo; echo \"$a\"; \(Bcd.release)/bcctl set web privvmpages=80M; read -r a </proc/meminfo; echo \"$a\""
      let r = try run(
        [
          "\(repository)/bcrun", "-q", "--server", bcd.socket, "--parent", "web", "-m", "200M",
          "--meminfo", "--", "bash", "-c", script,
        ],
        env: ["BC_SERVER": bcd.socket])
      #expect(r.lines.map { $0.split(separator: " ")[1] } == ["102400", "81920"], "\(r.errors)")
      try bcd.end()
    }

    /// A server that dies and comes back shows the same.
    @Test func outlivesTheServer() throws {
      let path = scratch.path, fifo = "\(path)/go"
      let bcd = ["\(Bcd.release)/bcd", "--socket", "\(path)/s", "--state", "\(path)/state"]
      func start() throws -> Child {
        let one = try Child(bcd)
        try one.until("server") {
          (try? run(["\(Bcd.release)/bcctl", "--socket", "\(path)/s", "list"]).code) == 0
        }
        return one
      }
      mkfifo(fifo, 0o600)
      let first = try start()
      let script =
        "exec <\(fifo); for i in 1 2; do head -n 1 /proc/meminfo; head -n 2 \(Views.all) | tail -n 1; read -r _ || :; done"
      let reader = try Child(
        [
          "\(repository)/bcrun", "-q", "--server", "\(path)/s", "--name", "web", "-m", "512M",
          "--meminfo", "--", "bash", "-c", script,
        ])
      let go = open(fifo, O_WRONLY)
      try reader.until("first") { reader.output.hasSuffix("failcnt\n") }
      first.kill(SIGKILL)
      _ = try first.wait()
      let second = try start()
      write(go, "\n", 1)
      try reader.until("second") { occurrences("failcnt\n", in: reader.output) == 2 }
      close(go)
      #expect(try reader.wait().code == 0)
      #expect(
        occurrences("MemTotal:         524288 kB\n", in: reader.output) == 2, "\(reader.output)")
      second.kill(SIGTERM)
      _ = try second.wait()
    }

    @Test(arguments: [[], ["--privvmpages", "unlimited"], ["--numfile", "10"]]) func needsABound(
      options: [String]
    ) throws {
      let r = try run(["\(repository)/bcrun"] + options + ["--meminfo", "--", "true"])
      #expect(r.code == 125)
      #expect(r.errors.hasPrefix("bcrun: --meminfo: memory has no bound to show; give one"))
    }

    /// Runtimes size themselves by it.
    @Test func pythonSeesIt() throws {
      let script = "import os; print(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGESIZE') >> 20)"
      #expect(
        try bcrun(["-m", "512M", "--meminfo"], [tool("python3"), "-c", script]).ended.output
          == "512\n")
    }

    @Test(.enabled(if: (try? tool("node")) != nil, "no node")) func nodeSeesIt() throws {
      let r = try bcrun(
        ["-m", "2G", "--meminfo"],
        [tool("node"), "-e", "os = require('os'); console.log(os.totalmem(), os.freemem())"])
      let figures = r.ended.output.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
      #expect(
        figures.count == 2 && figures[0] == 2 << 30 && figures[1] < 2 << 30,
        "\(r.ended.output)\(r.ended.errors)")
    }

    /// Its heap is a quarter of what it takes the machine to have, or a half of little.
    @Test(.enabled(if: (try? tool("java")) != nil, "no java")) func theJVMSizesItself() throws {
      let r = try bcrun(
        ["-m", "1G", "--meminfo"], [tool("java"), program("views/Memory.java")], timeout: 120)
      #expect(r.ended.number("all") == 1 << 30, "\(r.ended.output)\(r.ended.errors)")
      #expect((200 << 20)...(256 << 20) ~= r.ended.number("heap"))
    }
  }
}
