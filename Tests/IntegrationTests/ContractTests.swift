import Foundation
import Glibc
import Testing

extension RealPrograms {
  /// What somebody who only knows the manual may try of bcrun.
  @Suite struct Contract {
    let scratch = try! Scratch()
    let path = "\(repository)/bcrun"

    /// In bash, which knows how to write bytes that are no text; `$bcrun` is ours.
    private func bash(_ script: String, env: [String: String] = [:]) throws -> Ended {
      try run(["bash", "-c", script], env: env.merging(["bcrun": path]) { $1 }, cwd: scratch.path)
    }

    @Test("the environment arrives as it was: bytes, odd names, and no PWD where there was none")
    func environment() throws {
      for variables in [
        "A=1", "\"BYTES=$(printf 'caf\\351 \\377')\"",
        "'BASH_FUNC_f%%=() { echo f; }' 'a b=c=d' EMPTY= '1=2'",
        "PWD=/nonexistent OLDPWD=x IFS=: PS1=y",
      ] {
        func shown(_ command: String) throws -> String {
          let ended = try bash(
            "env -i \(variables) \(command) /usr/bin/env -0 >seen; tr '\\0' '\\n' <seen | grep -av '^BC_\\|^LD_PRELOAD=' | sort | od -An -c"
          )
          return ended.output + ended.errors
        }
        let bare = try shown("")
        #expect(bare.contains("="))
        #expect(try shown("$bcrun -q") == bare, "\(variables)")
      }
      #expect(
        try bash("f() { echo \"a function of $1\"; }; export -f f; $bcrun -q bash -c 'f ours'")
          .output == "a function of ours\n")
      #expect(try bash("BC_SERVER= $bcrun -q true").code == 0)
    }

    @Test("options take bytes, too") func bytes() throws {
      let ended = try bash(
        "d=$(printf 'd\\351'); mkdir \"$d\"; $bcrun -w \"$d\" -e \"K=$d\" --report=\"$d/r\" -- sh -c 'pwd; echo $K' | od -An -c; wc -l <\"$d/r\""
      )
      let shown = ended.output.filter { !$0.isWhitespace }
      #expect(
        shown.contains("/d351") && shown.contains("\\nd351\\n"), "\(ended.output)\(ended.errors)")
      #expect(Int(ended.lines.last ?? "") ?? 0 >= 3)
    }

    @Test(
      "COMMAND is found along its own PATH, and a text without #! is for the shell, as everywhere")
    func commands() throws {
      for (name, text) in [
        ("plain", "echo $0 $1\nexit 3\n"), ("empty", ""), ("lost", "#!/nonexistent/interpreter\n"),
        ("broken", "\u{7f}ELF and no more"),
        ("zeros", "a\0b\n"), ("unmarked", "#!/bin/sh\n"),
      ] {
        chmod(try scratch.write(name, text), name == "unmarked" ? 0o644 : 0o755)
      }
      let bcd = try Bcd()
      for server in [[], ["--server", bcd.socket]] {
        func code(_ options: [String], _ command: String...) throws -> (Int32?, String) {
          let ended = try run(
            [path] + server + ["-q"] + options + ["--"] + command, cwd: scratch.path)
          return (ended.code, ended.output)
        }
        #expect(try code([], "./plain", "x") == (3, "./plain x\n"))
        #expect(
          try code(["-e", "PATH=\(scratch.path)"], "plain", "x") == (3, "\(scratch.path)/plain x\n")
        )
        #expect(
          try code(["-w", "/", "-e", "PATH=nowhere:.\(scratch.path)"], "plain", "x") == (
            3, ".\(scratch.path)/plain x\n"
          ))
        #expect(try code(["-e", "PATH=\(scratch.path)"], "true").0 == 127)
        #expect(try code([], "./empty").0 == 0)
        for found in ["./lost", "./broken", "./zeros", "./unmarked", "/", "./plain/x"] {
          #expect(try code([], found).0 == 126, "\(found)")
        }
        for missing in ["", "./nothing", "nothing", "-x"] {
          #expect(try code([], missing).0 == 127, "\(missing)")
        }
        for directory in ["/bin/true", "/nonexistent"] {
          #expect(try code(["-w", directory], "true").0 == 125, "\(directory)")
        }
      }
    }

    /// bcd itself has more than that.
    @Test("a bound is COMMAND's own, however small") func smallBound() throws {
      let r = try bcrun(["-m", "1M"], ["true"])
      #expect(r.ended.code == 0)
      r.within()
      #expect(try r.report.row("privvmpages").maxheld <= 256)
    }

    @Test("a report that cannot be written is said, and changes no other status") func lostReport()
      throws
    {
      for (status, wanted) in [(0, Int32(125)), (3, 3)] {
        let full = try run([path, "--report=/dev/full", "--", "sh", "-c", "exit \(status)"])
        #expect(full.code == wanted)
        #expect(full.errors == "bcrun: --report=/dev/full: No space left on device\n")
        #expect(try bash("$bcrun sh -c 'exit \(status)' 2>/dev/full").code == Int32(status))
        #expect(try bash("$bcrun sh -c 'exit \(status)' 2>&-").code == Int32(status))
        // A reader that has gone: no SIGPIPE for bcrun.
        let broken = try bash(
          "{ $bcrun sh -c 'exec sleep 0.3 2>/dev/null; exit \(status)'; echo $? >&3; } 3>code 2>&1 >/dev/null | true; cat code"
        )
        #expect(broken.output == "0\n")
      }
      let slow = try run([
        "python3", "-c",
        """
        import os, subprocess, sys, time
        r, w = os.pipe(); os.set_blocking(w, False)
        p = subprocess.Popen([sys.argv[1], '--report-format', 'json', 'true'] + ['y' * 1000] * 300, stderr=w); os.close(w)
        time.sleep(0.5); n = 0
        while chunk := os.read(r, 65536): n += len(chunk)
        print(p.wait(), n > 300000)
        """, path,
      ])
      #expect(slow.output == "0 True\n")
    }

    @Test("a report goes where a descriptor leads, after what is there") func reportToDescriptor()
      throws
    {
      for target in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let ended = try bash("$bcrun --name here --report=\(target) echo first >out; head -2 out")
        #expect(
          ended.lines.first == "first"
            && ended.lines.last?.hasPrefix("bcrun: here exited 0") == true, "\(target)")
      }
      #expect(
        try bash("$bcrun --name here --report=/dev/fd/7 true 7>seven; cat seven").output.hasPrefix(
          "bcrun: here exited 0"))
      #expect(try bash("$bcrun --report=/dev/fd/77 true").code == 125)
      // Those that are closed stay so for COMMAND, and nothing of ours takes their places.
      let open = try bash("$bcrun -q sh -c 'exec >out; ls /proc/$$/fd' <&- >&- 2>&-; cat out").lines
      #expect(open.contains("1") && !open.contains("0") && !open.contains("2"))
    }

    @Test("a name that is a number is the id too") func numbers() throws {
      #expect(try bcrunJSON(["--name", "101"])["id"] as? Int == 101)
      let long = try run([path, "--name", "123456789", "--", "true"])
      #expect(long.code == 125 && long.errors.contains("99999999"))
      let bcd = try Bcd()
      #expect(try bcd.lines("create", "101", "numfile=7") == ["101"])
      #expect(try bcd.lines("create", "below", "--parent", "101") == ["1"])
      #expect(try bcd.bcctl("create", "102", "--id", "103").code == 1)
      #expect(try bcd.bcctl("create", "other", "--id", "101").code == 1)
      // The kernel lists none that is within another.
      #expect(
        try bcd.lines("beancounters").filter { $0.contains(":  kmemsize") }.map { $0.prefix(10) }
          == ["      101:"])
      #expect(try bcd.lines("beancounters", "below").count == 2 + 24)
      let shown = try #require(
        try bcd.object("show", "101", "numfile", "numproc", "--json")["beancounter"]
          as? [String: Any])
      #expect(
        (shown["resources"] as? [[String: Any]])?.compactMap { $0["resource"] as? String } == [
          "numproc", "numfile",
        ])
      // A run that nothing came of leaves nothing.
      #expect(try run([path, "--server", bcd.socket, "--numproc", "0", "--", "true"]).code == 125)
      #expect(try bcd.lines("list", "-H", "-o", "id") == ["  1", "101"])
    }

    /// What bcrun itself runs to read a file is no memory of COMMAND's.
    @Test("the peak is COMMAND's own") func peak() throws {
      let file = try scratch.write("some.conf", "NUMFILE=100\n")
      #expect(try bcrun(["--config", file], ["true"]).report.row("physpages").maxheld < 1024)
      let grown = try bcrun([], [tool("python3"), "-c", "x = bytearray(64 << 20)"])
      #expect(try grown.report.row("physpages").maxheld >= 16384)
    }

    private func bcrunJSON(_ options: [String]) throws -> [String: Any] {
      let ended = try run([path, "--report-format", "json"] + options + ["--", "true"])
      let all = try #require(
        try JSONSerialization.jsonObject(with: Data(ended.errors.utf8)) as? [String: Any],
        "\(ended.errors)")
      return try #require(all["beancounter"] as? [String: Any])
    }
  }
}
