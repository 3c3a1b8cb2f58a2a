import Foundation
import Glibc
import Testing

extension RealPrograms {
  @Suite struct Bcrun {
    let scratch = try! Scratch()
    let path = "\(repository)/bcrun"

    @Test(arguments: [0, 1, 42, 124, 125, 255]) func exitStatusIsTheCommands(code: Int32) throws {
      let r = try bcrun(["--numfile", "50"], ["sh", "-c", "exit \(code)"])
      #expect(r.ended.code == code)
      #expect(r.report.code == Int(code))
      #expect(r.report.signal == nil)
      r.within()
    }

    @Test func notExecutableAndNotFound() throws {
      let file = try scratch.write("plain", "text")
      for (command, code) in [
        (file, Int32(126)), (scratch.path, 126), ("/nonexistent/x", 127),
        ("no-such-command-at-all", 127),
      ] {
        let e = try run([path, "--numfile", "50", "--", command])
        #expect(e.code == code, "\(command)")
        #expect(e.errors.contains(command))
        #expect(e.output.isEmpty)
      }
    }

    @Test(arguments: [SIGKILL, SIGTERM, SIGSEGV, SIGABRT]) func diesOfTheSameSignal(signal: Int32)
      throws
    {
      let r = try bcrun([], ["bash", "-c", "ulimit -c 0; kill -\(signal) $$"])
      #expect(r.ended.signal == signal)
      #expect(r.report.signal == Int(signal))
      #expect(r.report.code == nil)
      r.returned()
      let shell = try run([
        "bash", "-c", "\"\(path)\" -q -- bash -c 'ulimit -c 0; kill -\(signal) $$'; exit $?",
      ])
      #expect(shell.code == 128 + signal)
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT])
    func signalsReachTheCommand(signal: Int32) throws {
      let b = try Background(
        [],
        [
          "bash", "-c",
          "trap 'echo got; exit 3' \(signal); echo ready; while :; do sleep 0.05; done",
        ])
      try b.child.until("ready") { b.child.output == "ready\n" }
      b.child.kill(signal)
      let r = try b.end(20)
      #expect(r.ended.output == "ready\ngot\n")
      #expect(r.ended.code == 3)
      r.returned()
    }

    @Test func stopAndContinue() throws {
      let b = try Background(
        [],
        ["bash", "-c", "echo $$; while [ ! -e \(scratch.path)/go ]; do sleep 0.02; done; echo end"])
      try b.child.until("start") { b.child.output.hasSuffix("\n") }
      let pid = b.child.output.trimmingCharacters(in: .whitespacesAndNewlines)
      func state() -> String {
        text(at: "/proc/\(pid)/stat").components(separatedBy: ") ").last.map {
          String($0.prefix(1))
        } ?? ""
      }
      b.child.kill(SIGTSTP)
      try b.child.until("stop") { state() == "T" }
      b.child.kill(SIGCONT)
      try b.child.until("continuation") { state() != "T" }
      _ = try scratch.write("go", "")
      #expect(try b.end(20).ended.lines.last == "end")
    }

    @Test func binaryDataPassesThrough() throws {
      var random = SystemRandomNumberGenerator()
      let data = Data((0..<(1 << 20)).map { _ in UInt8.random(in: 0...255, using: &random) })
      #expect(try bcrun(["--numfile", "50"], ["cat"], input: data).ended.data == data)
      let piped = try run(
        [
          "bash", "-c",
          "set -o pipefail; cat | \"\(path)\" -q -- tee /dev/stderr 2>\(scratch.path)/copy | cat",
        ],
        input: data)
      #expect(piped.code == 0)
      #expect(piped.data == data)
      #expect(FileManager.default.contents(atPath: "\(scratch.path)/copy") == data)
    }

    @Test func environmentAndDirectory() throws {
      let r = try bcrun(
        ["-e", "ONE=first", "--env", "TWO=a b=c", "-e", "ONE=last", "-w", scratch.path],
        ["sh", "-c", "echo \"$ONE|$TWO|$THREE|$(pwd)\""], env: ["THREE": "kept"])
      #expect(r.ended.output == "last|a b=c|kept|\(scratch.path)\n")
      #expect(try run([path, "-w", "/nonexistent/dir", "--", "true"]).code == 125)
    }

    @Test func argumentsAndDescriptorsArriveUntouched() throws {
      let r = try bcrun(
        [],
        [
          "bash", "-c", "printf '<%s>' \"$0\" \"$@\"; ls /proc/self/fd | tr '\\n' ' '", "", "-x",
          "--", "a  b", "*",
          "é",
        ])
      #expect(r.ended.output == "<><-x><--><a  b><*><é>0 1 2 3 ")
    }

    /// The three forms say the same.
    @Test func reportFormats() throws {
      let command = [
        "--", "bash", "-c", "exec {a}</dev/null {b}</dev/null; : {c}</dev/null; exit 4",
      ]
      let text = try run([path, "--numfile", "2", "--name", "web-1"] + command)
      #expect(text.code == 4)
      #expect(text.output.isEmpty)
      #expect(text.errors.contains("bcrun: web-1 exited 4 after "))
      #expect(text.errors.contains("1 denial"))
      #expect(text.errors.contains("denied numfile x1 (ENFILE): bash["))
      let row = text.errors.split(separator: "\n").first {
        $0.contains("numfile") && $0.contains("<- denied")
      }
      #expect(
        row?.split(separator: " ").prefix(6).map(String.init) == [
          "numfile", "0", "2", "2", "2", "1",
        ])
      #expect(text.errors.split(separator: "\n").count <= 21)

      let kv = try run(
        [path, "--numfile", "2", "--report-format", "kv", "--report=\(scratch.path)/kv"] + command)
      #expect(!kv.errors.contains("numfile."))
      for line in [
        "numfile.failcnt=1", "numfile.maxheld=2", "numfile.held=0", "numfile.barrier=2",
        "numfile.limit=2",
      ] {
        #expect(scratch.read("kv").contains(line + "\n"))
      }

      let json = try bcrun(["--numfile", "2"], Array(command.dropFirst()))
      #expect(json.ended.code == 4)
      #expect(json.report.code == 4)
      #expect(try json.report.row("numfile").barrier == 2)
      #expect(try json.report.row("numproc").barrier == nil)
      #expect(json.report.denials.first?.comm == "bash")
      #expect(json.report.denials.first?.call.contains("open") == true)
      try json.refused("numfile", 1, errno: "ENFILE")
      let loud = try run([path, "--report-format", "json", "--numfile", "9", "--", "true"])
      #expect(try Report(Data(loud.errors.utf8)).row("numfile").barrier == 9)
    }

    @Test func quiet() throws {
      let e = try run([path, "-q", "--numfile", "50", "--", "sh", "-c", "echo out; echo err >&2"])
      #expect(e.output == "out\n")
      #expect(e.errors == "err\n")
      #expect(e.code == 0)
    }

    @Test func failOn() throws {
      let refused = ["bash", "-c", "exec {a}</dev/null {b}</dev/null; : {c}</dev/null; exit 0"]
      #expect(try bcrun(["--numfile", "2"], refused).ended.code == 0)
      #expect(try bcrun(["--numfile", "2", "--fail-on", "denial"], refused).ended.code == 124)
      #expect(try bcrun(["--numfile", "50", "--fail-on", "denial"], refused).ended.code == 0)
      #expect(
        try bcrun(
          ["--numfile", "2", "--fail-on", "denial"],
          Array(refused.dropLast()) + [
            refused[2].replacingOccurrences(of: "exit 0", with: "exit 7")
          ]
        ).ended.code == 7)
      let busybox = [try tool("busybox"), "true"]
      #expect(try bcrun(["--fail-on", "uncovered"], busybox).ended.code == 124)
      #expect(try bcrun(["--fail-on", "denial"], busybox).ended.code == 0)
      #expect(
        try bcrun(["--fail-on", "denial", "--fail-on", "uncovered"], busybox).ended.code == 124)
    }

    @Test func spellingsOfABound() throws {
      let r = try bcrun(
        [
          "-l", "numproc=50:60", "--limit", "numfile=70", "-m", "1.5G", "--memory-reservation",
          "1024M",
          "--numtcpsock=:9", "--numothersock", "unlimited",
        ],
        ["true"])
      #expect(r.ended.code == 0)
      for (name, barrier, limit) in [
        ("numproc", 50, 60), ("numfile", 70, 70), ("privvmpages", 262144, 393216),
        ("numtcpsock", nil, 9),
        ("numothersock", nil, nil),
      ] as [(String, Int?, Int?)] {
        let row = try r.report.row(name)
        #expect(row.barrier == barrier, "\(name)")
        #expect(row.limit == limit, "\(name)")
      }
      #expect(try bcrun(["--pids-limit", "33"], ["true"]).report.row("numproc").limit == 33)
    }

    @Test(arguments: [
      ["--numfile", "many"], ["--numfile", "1.5"], ["--numfile", "10M"], ["--numfile", ""],
      ["--numfile", "-5"],
      ["--numfile", "1:2:3"],
      ["--privvmpages", "12Q"], ["-m", "big"], ["-l", "numfile"], ["-l", "nosuch=5"],
      ["--nosuch", "5"],
      ["--fail-on", "rain"],
      ["--report-format", "xml"], ["--report=/nonexistent/dir/report"],
      ["--on-server-loss", "perhaps"], ["--errno", "dos"], ["--numfile"],
    ])
    func badInputIsRefusedBeforeAnythingRuns(options: [String]) throws {
      let e = try run([path] + options + ["--", "touch", "\(scratch.path)/ran"])
      #expect(e.code == 125)
      #expect(e.output.isEmpty)
      #expect(!e.errors.isEmpty)
      #expect(!FileManager.default.fileExists(atPath: "\(scratch.path)/ran"))
    }

    @Test func errnoOfARefusedFork() throws {
      let script =
        "import os\ntry:\n  pid = os.fork()\n  if pid == 0: os._exit(0)\n  os.waitpid(pid, 0)\nexcept OSError as e: print(e.errno)"
      for (options, errno) in [
        ([], "EAGAIN"), (["--errno", "posix"], "EAGAIN"), (["--errno", "openvz"], "ENOMEM"),
      ]
        as [([String], String)]
      {
        let r = try bcrun(["--numproc", "1"] + options, [tool("python3"), "-c", script])
        #expect(r.ended.output == (errno == "ENOMEM" ? "12\n" : "11\n"))
        try r.refused("numproc", 1, errno: errno)
      }
    }

    @Test func noCommandIsRefused() throws {
      for arguments in [[], ["--"], ["--numfile", "50"]] {
        let e = try run([path] + arguments)
        #expect(e.code == 125)
        #expect(!e.errors.isEmpty)
      }
    }

    @Test func helpIsNoError() throws {
      let e = try run([path, "--help"])
      #expect(e.code == 0)
      #expect(e.output.contains("--numfile"))
    }

    /// Nothing of a run is left: no process, no socket directory.
    @Test func nothingIsLeftBehind() throws {
      let tmp = "\(scratch.path)/tmp"
      try FileManager.default.createDirectory(atPath: tmp, withIntermediateDirectories: false)
      let r = try bcrun(
        ["--numfile", "50"], ["bash", "-c", "sleep 0.01 & wait; echo $BC_SERVER"],
        env: ["TMPDIR": tmp, "XDG_RUNTIME_DIR": tmp])
      #expect(r.ended.code == 0)
      let server = r.ended.output.trimmingCharacters(in: .whitespacesAndNewlines)
      #expect(!server.isEmpty)
      #expect(!FileManager.default.fileExists(atPath: server))
      #expect(try FileManager.default.subpathsOfDirectory(atPath: tmp).isEmpty)
    }
  }
}
