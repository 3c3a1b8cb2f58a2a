import Foundation
import Glibc
import Testing

/// A bcd of the test's own, and bcctl speaking with it.
final class Bcd {
  static let release = "\(repository)/.build/release"
  let scratch: Scratch
  let child: Child
  var socket: String { "\(scratch.path)/s" }

  init(_ options: [String] = [], at scratch: Scratch = try! Scratch()) throws {
    self.scratch = scratch
    let path = scratch.path
    child = try Child(["\(Bcd.release)/bcd", "--socket", "\(path)/s"] + options)
    try child.until("server") {
      (try? run(["\(Bcd.release)/bcctl", "--socket", "\(path)/s", "list"]).code) == 0
    }
  }

  func bcctl(_ words: String..., input: Data = Data()) throws -> Ended {
    try run(["\(Bcd.release)/bcctl"] + words, env: ["BC_SERVER": socket], input: input)
  }

  /// What it prints, of a command that must succeed.
  func lines(_ words: String..., here: SourceLocation = #_sourceLocation) throws -> [String] {
    let ended = try run(["\(Bcd.release)/bcctl"] + words, env: ["BC_SERVER": socket])
    #expect(ended.code == 0, "\(ended.errors)", sourceLocation: here)
    return ended.lines.map(String.init)
  }

  /// One cell of the list.
  func field(_ name: String, _ field: String) throws -> String? {
    try lines("list", "-H", "-o", "\(field),name").first { $0.hasSuffix(" \(name)") }?.split(
      separator: " "
    ).first.map(String.init)
  }

  func object(_ words: String...) throws -> [String: Any] {
    let ended = try run(["\(Bcd.release)/bcctl"] + words, env: ["BC_SERVER": socket])
    return try #require(
      try JSONSerialization.jsonObject(with: ended.data) as? [String: Any], "\(ended.errors)")
  }

  func end() throws {
    child.kill(SIGTERM)
    #expect(try child.wait(20).code == 0)
  }
}

extension RealPrograms {
  @Suite struct Bcctl {
    /// Opens files until one is refused.
    private let opener = "n=0; while exec {fd}</dev/null; do n=$((n+1)); done 2>/dev/null; echo $n"

    @Test("the life of a beancounter") func life() throws {
      let bcd = try Bcd()
      #expect(try bcd.lines("create", "web", "numfile=20:30", "privvmpages=64M:") == ["1"])
      #expect(
        try bcd.lines("create", "sub", "--parent", "web", "--id", "77", "numproc=5") == ["77"])
      #expect(
        try bcd.lines("list", "-H", "-o", "id,name,parent,members") == [
          " 1  web  -    0", "77  sub  web  0",
        ])
      #expect(try bcd.field("web", "privvmpages.b") == "16384")
      #expect(try bcd.field("web", "privvmpages.l") == "unlimited")

      let opened = try bcd.lines("enter", "web", "--", "bash", "-c", opener).last
      #expect(1...20 ~= opened.flatMap { Int($0) } ?? -1)
      #expect(try bcd.field("web", "numfile.m") == "20")
      #expect(try bcd.field("web", "numfile.f") == "1")
      #expect(try bcd.field("web", "numfile") == "0")
      let denials = try bcd.lines("denials", "web")
      #expect(denials.first?.contains("numfile x1 (ENFILE): bash[") == true)
      let show = try bcd.lines("show", "web")
      #expect(show.first == "web (id 1): 0 members")
      #expect(
        show.contains {
          $0.split(separator: " ").prefix(7) == ["numfile", "0", "20", "20", "30", "1", "exact"]
        })
      let events = try bcd.lines("events", "web").map { $0.split(separator: " ").map(String.init) }
      #expect(events.first.map { Array($0.dropFirst()) } == ["web", "created"])
      #expect(events.contains { $0.count > 3 && $0[2...3] == ["denial", "numfile"] })
      #expect(events.allSatisfy { $0[1] == "web" })

      let refused = try bcd.bcctl("remove", "web")
      #expect(refused.code == 1 && refused.errors.hasPrefix("bcctl: "))
      #expect(try bcd.lines("remove", "sub") == [])
      #expect(try bcd.lines("remove", "1") == [])
      #expect(try bcd.lines("list", "-H") == [])
      try bcd.end()
    }

    @Test("new bounds reach what runs") func set() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web")
      let loop = try Child(
        [
          "\(Bcd.release)/bcctl", "--socket", bcd.socket, "enter", "web", "--", "bash", "-c",
          "echo ready; while exec 9</dev/null; do exec 9<&-; sleep 0.01; done 2>/dev/null; echo refused",
        ])
      try loop.until("start") { loop.output == "ready\n" }
      // All or nothing: the second is no resource, so the first is not set either.
      #expect(try bcd.bcctl("set", "web", "numfile=0", "nothing=5").code == 2)
      #expect(try bcd.field("web", "numfile.b") == "unlimited")
      #expect(try bcd.lines("set", "web", "numfile=0:", "numproc=:50") == [])
      #expect(try loop.wait(20).output == "ready\nrefused\n")
      let limits = try ["numfile.b", "numfile.l", "numproc.b", "numproc.l"].map {
        try bcd.field("web", $0)
      }
      #expect(limits == ["0", "unlimited", "unlimited", "50"])
      try bcd.end()
    }

    @Test("entering is in place") func enter() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web", "numproc=20")
      for code: Int32 in [0, 3, 125] {
        #expect(try bcd.bcctl("enter", "web", "--", "sh", "-c", "exit \(code)").code == code)
      }
      #expect(try bcd.bcctl("enter", "web", "--", "bash", "-c", "kill -TERM $$").signal == SIGTERM)
      #expect(try bcd.bcctl("enter", "web", "--", "/nonexistent/x").code == 127)
      #expect(try bcd.bcctl("enter", "web", "--", "/etc/passwd").code == 126)
      #expect(try bcd.bcctl("enter", "web").code == 2)
      #expect(try bcd.bcctl("enter", "nobody", "--", "true").code == 1)
      let words = try bcd.bcctl(
        "enter", "web", "--", "printf", "<%s>", "--", "-H", "--socket", "a  b", "é", "")
      #expect(words.output == "<--><-H><--socket><a  b><é><>")
      #expect(
        try bcd.bcctl("enter", "web", "--", "cat", input: Data([0, 255, 10])).data
          == Data([0, 255, 10]))
      #expect(try bcd.field("web", "numproc.m") != "0")
      try bcd.child.until("end of all members") { (try? bcd.field("web", "members")) == "0" }
      try bcd.end()
    }

    @Test("who holds what") func holders() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web")
      let file = try bcd.scratch.write("held", "x")
      let holder = try Child(
        [
          "\(Bcd.release)/bcctl", "--socket", bcd.socket, "enter", "web", "--", "bash", "-c",
          "exec 9<\(file); echo ready; while :; do read -t 0.1 < /dev/zero; done",
        ])
      try holder.until("start") { holder.output == "ready\n" }
      let lines = try bcd.lines("holders", "web", "numfile")
      #expect(lines.contains { $0.hasPrefix("bash[\(holder.pid)]: ") })
      #expect(lines.contains { $0.hasPrefix("  fd 9: \(file) since 20") })
      #expect(
        try bcd.lines("show", "web").contains {
          $0.split(separator: " ") == ["\(holder.pid)", "bash", "joined"]
        })
      #expect(try bcd.lines("holders", "web", "numproc").contains("bash[\(holder.pid)]: 1"))
    }

    @Test("events as they come, until the server ends") func follow() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web")
      let all = try Child([
        "\(Bcd.release)/bcctl", "--socket", bcd.socket, "events", "-f", "--json",
      ])
      try all.until("first event") { all.output.contains("\"created\"") }
      #expect(try bcd.bcctl("enter", "web", "--", "true").code == 0)
      try all.until("leave") { all.output.contains("\"leave\"") }
      _ = try bcd.lines("remove", "web")
      try all.until("removal") { all.output.contains("\"removed\"") }
      try bcd.end()
      let ended = try all.wait(20)
      #expect(ended.code == 1)
      #expect(ended.errors == "bcctl: the server at \(bcd.socket) has ended\n")
      let kinds = try ended.lines.map { line in
        let event = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        #expect(event?["beancounter"] as? String == "web")
        return try #require(event?["event"] as? String)
      }
      #expect(kinds.first == "created" && kinds.last == "removed")
      #expect(kinds.contains("join"))
    }

    @Test("the kernel's file, and vzubc's view of it") func userBeancounters() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web", "--id", "101", "numfile=20")
      _ = try bcd.lines("create", "db", "--id", "102", "numproc=5")
      let text = try bcd.bcctl("beancounters").output
      let lines = text.split(separator: "\n")
      #expect(lines.count == 2 + 24 + 24)
      #expect(lines[0] == "Version: 2.5")
      // The newest first, as in the kernel's list.
      #expect(
        lines[2].hasPrefix("      102:  kmemsize ") && lines[26].hasPrefix("      101:  kmemsize "))
      #expect(try bcd.bcctl("beancounters", "web").output.split(separator: "\n").count == 2 + 24)
      // The same figures, asked for or read from the file.
      let read = try bcd.bcctl("ubc", "-f", "-", "101", input: Data(text.utf8))
      #expect(read.code == 0)
      #expect(
        read.output.contains("\nnumfile     -    0%    0%        -    0%    0%   20   20     -\n"))
      let asked = try bcd.bcctl("ubc", "web").output
      let rows = { (text: String) in
        text.split(separator: "\n").dropFirst().map { $0.split(separator: " ") }
      }
      #expect(rows(asked) == rows(read.output))

      // Failures since the run before.
      _ = try bcd.lines("enter", "web", "--", "bash", "-c", opener)
      let relative = {
        try bcd.lines("ubc", "-q", "-r", "-qh", "2", "-qm", "2", "-rd", "\(bcd.scratch.path)/store")
      }
      #expect(try relative().last?.split(separator: " ").last == "1")
      #expect(try relative() == [])
      _ = try bcd.lines("enter", "web", "--", "bash", "-c", opener)
      #expect(try relative().last?.split(separator: " ").last == "1")
    }

    @Test("every answer as JSON") func json() throws {
      let bcd = try Bcd()
      #expect(try bcd.object("create", "web", "numfile=9", "--json")["id"] as? Int == 1)
      let list = try #require(try bcd.object("list", "--json")["beancounters"] as? [[String: Any]])
      #expect(list.map { $0["name"] as? String } == ["web"])
      let show = try #require(
        try bcd.object("show", "1", "--json")["beancounter"] as? [String: Any])
      let rows = try #require(show["resources"] as? [[String: Any]])
      let numfile = try #require(rows.first { $0["resource"] as? String == "numfile" })
      #expect(numfile["barrier"] as? Int == 9 && numfile["unit"] as? String == "items")
      #expect(try bcd.object("denials", "web", "--json")["denials"] is [Any])
      #expect(try bcd.object("holders", "web", "numfile", "--json")["holders"] is [Any])
      let refused = try bcd.bcctl("show", "nobody", "--json")
      #expect(refused.code == 1 && refused.output.isEmpty && refused.errors.hasPrefix("bcctl: "))
    }

    @Test("what cannot be: nobody there, nothing meant") func refusals() throws {
      let bcctl = "\(Bcd.release)/bcctl"
      let absent = try run([bcctl, "list", "--socket", "/nonexistent/s"])
      #expect(absent.code == 1)
      #expect(
        absent.errors
          == "bcctl: no server at /nonexistent/s (No such file or directory); start one with bcd, or give --socket\n"
      )
      for words in [
        ["list", "-o", "foo"], ["foo"], ["set", "web"], ["set", "web", "numfile=x"],
        ["list", "--nothing"],
        ["create", "x", "--id", "123456789"], ["holders", "web", "nothing"], ["show"],
        ["enter", "web"],
      ] {
        let ended = try run([bcctl] + words, env: ["BC_SERVER": "/nonexistent/s"])
        #expect(ended.code == 2, "\(words)")
        #expect(
          ended.output.isEmpty && ended.errors.hasPrefix("bcctl: "), "\(words): \(ended.errors)")
      }
      for command in [
        "list", "show", "top", "events", "denials", "holders", "set", "create", "remove", "enter",
        "beancounters", "ubc", "completions",
      ] {
        let help = try run([bcctl, command, "--help"])
        #expect(
          help.code == 0 && help.output.contains("USAGE: bcctl \(command)") && help.errors.isEmpty,
          "\(command)")
      }
    }

    @Test("the man pages have every option of every command") func manualPages() throws {
      func words(_ text: String) -> Set<Substring> {
        Set(text.split { !($0.isLetter || $0.isNumber || $0 == "-") })
      }
      // mdoc's Fl puts one dash before each. The resources' own options are one entry, --RES.
      func check(_ help: String, _ page: String) throws {
        let known = words(text(at: "\(repository)/share/man/\(page)"))
        let options = try #require(help.components(separatedBy: "Enforced resources:").first)
        for word in words(options) where word.hasPrefix("--") && word.count > 3 && word != "--RES" {
          #expect(known.contains(word.dropFirst()), "\(page) lacks \(word)")
        }
      }
      let commands = [
        "list", "show", "top", "events", "denials", "holders", "mark", "diff", "set", "create",
        "remove", "enter", "beancounters",
        "ubc", "bounds", "validate", "completions",
      ]
      for command in commands {
        try check(run(["\(Bcd.release)/bcctl", command, "--help"]).output, "man1/bcctl.1")
        #expect(
          text(at: "\(repository)/share/man/man1/bcctl.1").contains(".It Cm \(command)"),
          "\(command)")
      }
      try check(run(["\(Bcd.release)/bcd", "--help"]).output, "man8/bcd.8")
      try check(run(["\(repository)/bcrun", "--help"]).output, "man1/bcrun.1")
    }

    // MARK: top

    private struct Shown: Decodable {
      struct State: Decodable, Equatable { var restored, left: Bool }
      var code, signal: Int32?
      var stops: [State]
      var end: State
      var seen: String
    }

    private func top(_ bcd: Bcd, _ steps: String...) throws -> Shown {
      let ended = try run(
        [tool("python3"), program("terminal.py")] + steps + ["--", "\(Bcd.release)/bcctl", "top"],
        env: ["BC_SERVER": bcd.socket, "TERM": "xterm", "LC_ALL": "C.UTF-8"])
      #expect(ended.code == 0, "\(ended.errors)")
      return try JSONDecoder().decode(Shown.self, from: ended.data)
    }

    private let away = Shown.State(restored: true, left: true)

    @Test("top shows, sorts, filters, and gives the terminal back") func top() throws {
      let bcd = try Bcd()
      _ = try bcd.lines("create", "web", "numfile=20")
      _ = try bcd.lines("create", "mail", "numproc=5")
      let shown = try top(
        bcd, "until:2 beancounters", "until:numproc", "type:s", "until:by failcnt", "type:r",
        "until:reversed",
        "type:/web", "until:filter: web", "type:\\r", "until:Esc clears", "type:\\x1b",
        "until:/ filter", "type:q")
      #expect(shown.code == 0)
      #expect(shown.end == away)
      #expect(shown.seen.contains("web  numfile"))
      #expect(shown.seen.components(separatedBy: "\u{1b}[H").count > 3)
    }

    @Test(
      "top ends like any program on a signal",
      arguments: [("INT", SIGINT), ("TERM", SIGTERM), ("HUP", SIGHUP)])
    func topSignals(name: String, signal: Int32) throws {
      let bcd = try Bcd()
      let shown = try top(bcd, "until:q quit", "signal:\(name)")
      #expect(shown.signal == signal)
      #expect(shown.end == away)
    }

    @Test("top stops and goes on") func topStops() throws {
      let bcd = try Bcd()
      let shown = try top(
        bcd, "until:q quit", "type:\\x1a", "stopped:", "signal:CONT", "until:q quit", "type:\\x03")
      #expect(shown.stops == [away])
      #expect(shown.signal == SIGINT)
      #expect(shown.end == away)
    }

    @Test("top leaves the screen before it says that the server has gone") func topServerGone()
      throws
    {
      let bcd = try Bcd()
      let pid = bcd.child.pid
      // The server ends itself a while after top has begun.
      let killer = try Child(["bash", "-c", "sleep 1.5; kill -TERM \(pid)"])
      let shown = try top(bcd, "until:q quit")
      _ = try killer.wait()
      #expect(shown.code == 1)
      #expect(shown.end == away)
      let after = try #require(shown.seen.components(separatedBy: "\u{1b}[?1049l").last)
      #expect(after.contains("bcctl: no server at \(bcd.socket) ("))
    }

    @Test func topNeedsATerminal() throws {
      let bcd = try Bcd()
      let ended = try bcd.bcctl("top")
      #expect(ended.code == 1)
      #expect(ended.errors == "bcctl: top needs a terminal; list and events do not\n")
    }

    // MARK: Installation

    @Test("installed elsewhere, all three programs work") func install() throws {
      let scratch = try Scratch()
      let prefix = "\(scratch.path)/a b"
      let installed = try run(["\(repository)/Sources/install", prefix], timeout: 600)
      try #require(installed.code == 0, "\(installed.errors)")
      let ran = try run([
        "\(prefix)/bin/bcrun", "--numfile", "3", "--", "sh", "-c", "exec 5</dev/null; echo in",
      ])
      #expect(ran.output == "in\n" && ran.code == 0)
      // The path has a blank in it, which LD_PRELOAD cannot have.
      let counted = try run([
        "\(prefix)/bin/bcrun", "--numfile", "3", "--", "bash", "-c",
        "exec 5</dev/null 6</dev/null 7</dev/null 8</dev/null",
      ])
      #expect(
        counted.errors.contains("denied numfile x1 (ENFILE): bash[")
          && !counted.errors.contains("ld.so"), "\(counted.errors)")
      let found = try run(["bash", "-c", "exec env -i A=1 \"$1/bin/bcrun\" -q env", "bash", prefix])
      #expect(
        found.code == 0 && found.output.contains("A=1\n") && !found.output.contains("PWD=")
          && found.errors.isEmpty, "\(found.errors)")
      let tortured = try run([
        "\(prefix)/bin/bcrun", "--torture", "numfile", "--", "cat", "/etc/hostname",
      ])
      #expect(
        tortured.errors.contains("charges of numfile failed in turn")
          || tortured.errors.contains("charge of numfile failed in turn"), "\(tortured.errors)")
      let socket = "\(scratch.path)/s"
      let server = try Child(["\(prefix)/bin/bcd", "--socket", socket])
      try server.until("server") {
        (try? run(["\(prefix)/bin/bcctl", "list", "--socket", socket]).code) == 0
      }
      #expect(
        try run(["\(prefix)/bin/bcctl", "--socket", socket, "create", "web"]).output == "1\n")
      #expect(
        try run(["\(prefix)/bin/bcctl", "--socket", socket, "enter", "web", "--", "echo", "x"])
          .output == "x\n")
      for page in ["man1/bcctl.1", "man1/bcrun.1", "man8/bcd.8"] {
        #expect(text(at: "\(prefix)/share/man/\(page)").hasPrefix(".Dd "))
      }
      let completions = "\(prefix)/share/bash-completion/completions/bcctl"
      let completed = try run([
        "bash", "-c",
        """
        PATH="$1/bin:$PATH"; . "$2"; spec=$(complete -p bcctl); spec=${spec##*-F }; spec=${spec%% *}
        COMP_WORDS=(bcctl de); COMP_CWORD=1; COMP_LINE="bcctl de"; COMP_POINT=8; "$spec" bcctl de bcctl; printf '%s\\n' "${COMPREPLY[@]}"
        """, "bash", prefix, completions,
      ])
      #expect(completed.lines.contains("denials"), "\(completed.errors)")
      // bcrun's: options, their words, and COMMAND.
      for (line, word) in [
        ("bcrun --rep", "--report-format"), ("bcrun --report-format j", "json"),
        ("bcrun -q --numfile 5 ls", "lsblk"),
      ] {
        let completed = try run([
          "bash", "-c",
          """
          . "$1/share/bash-completion/completions/bcrun"; read -ra COMP_WORDS <<<"$2"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
          _bcrun; printf '%s\\n' "${COMPREPLY[@]}"
          """, "bash", prefix, line,
        ])
        #expect(completed.lines.contains(Substring(word)), "\(line): \(completed.errors)")
      }
      for shell in [
        "zsh/site-functions/_bcrun", "zsh/site-functions/_bcd",
        "fish/vendor_completions.d/bcrun.fish",
      ] {
        #expect(
          text(at: "\(prefix)/share/\(shell)").contains(shell.contains("bcd") ? "state" : "fail-on")
        )
      }
      #expect(try run(["\(repository)/Sources/install"]).code == 2)
      #expect(try run(["\(repository)/Sources/install", "relative"]).code == 2)
    }
  }
}
