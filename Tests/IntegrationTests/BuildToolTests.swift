import Foundation
import Testing

extension RealPrograms {
  @Suite struct Gcc {
    let scratch = try! Scratch()
    let gcc: String

    init() throws {
      gcc = try tool("gcc")
      let functions = (0..<300).map { i in
        "int f\(i)(const char *s, int n) { char b[64]; regex_t r; snprintf(b, sizeof b, \"%s %d\", s, n * \(i)); return regcomp(&r, b, 0) ? (int)strlen(b) : (int)(sqrt(n + \(i)) * \(i)); }"
      }
      let headers = [
        "stdio", "stdlib", "string", "math", "regex", "pthread", "unistd", "sys/socket",
      ].map {
        "#include <\($0).h>"
      }
      _ = try scratch.write("real.c", (headers + functions).joined(separator: "\n") + "\n")
    }

    @Test func theObjectIsTheSame() throws {
      let command = [gcc, "-O2", "-g", "-c", "real.c", "-o", "real.o"]
      let bare = try run(command, cwd: scratch.path)
      try #require(bare.code == 0, "\(bare.errors)")
      let object = FileManager.default.contents(atPath: "\(scratch.path)/real.o")
      try FileManager.default.removeItem(atPath: "\(scratch.path)/real.o")
      let r = try bcrun(
        ["--numfile", "60", "--numproc", "5", "--privvmpages", "512M"], command, cwd: scratch.path)
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      #expect(r.ended.errors == bare.errors)
      #expect(
        object != nil && FileManager.default.contents(atPath: "\(scratch.path)/real.o") == object)
      #expect(try r.report.row("numproc").maxheld == 2)
      r.within()
    }

    /// The compiler is started by vfork, and its parent has what is left of the memory until it runs.
    @Test func aTightBoundOfMemoryMakesNobodyWait() throws {
      _ = try scratch.write("small.c", "int x;\n")
      let start = Date()
      let r = try bcrun(
        ["--privvmpages", "16M"], [gcc, "-c", "small.c", "-o", "small.o"], cwd: scratch.path)
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      #expect(Date().timeIntervalSince(start) < 8)  // it waited ten seconds for each image
    }

    /// gcc's own loop tries four times, 15 s in all, then says so.
    @Test func noRoomForTheAssembler() throws {
      _ = try scratch.write("small.c", "int x;\n")
      // the shell waits for cc1 to be gone, which gcc leaves behind
      let script = "\"$0\" -pipe -c small.c -o small.o; code=$?; sleep 0.5; exit $code"
      let r = try bcrun(["--numproc", "3"], ["bash", "-c", script, gcc], cwd: scratch.path)
      #expect(r.ended.code == 1)
      #expect(r.ended.errors.contains("fatal error: cannot execute"))
      #expect(r.ended.errors.contains("vfork: Resource temporarily unavailable"))
      #expect(!FileManager.default.fileExists(atPath: "\(scratch.path)/small.o"))
      #expect(try r.report.row("numproc").maxheld == 3)
      try r.refused("numproc", 4, errno: "EAGAIN")
    }

    @Test func memoryTooSmallForTheCompiler() throws {
      let source = try scratch.write(
        "array.c",
        "#define A(x) x x x x x x x x x x\nconst char *s = A(A(A(A(A(A(\"0123456789abcdef\"))))));\n"
      )
      let command = [gcc, "-c", source, "-o", "array.o"]
      let bare = try ulimit("-d", 32768, command, cwd: scratch.path)
      #expect(bare.code == 1)
      #expect(bare.errors.contains("out of memory"))
      let r = try bcrun(["--privvmpages", "32M"], command, cwd: scratch.path)
      #expect(r.ended.code == bare.code)
      #expect(r.ended.errors.contains("out of memory"))
      try r.refused("privvmpages", errno: "ENOMEM")
    }
  }

  @Suite struct Git {
    let scratch = try! Scratch()
    let git: String

    init() throws {
      git = try tool("git")
      let script = """
        set -e; git init -q source; cd source; git config user.name t; git config user.email t@example
        for i in $(seq 15); do for j in $(seq 20); do echo "line $i $j" >> file$j; done; mkdir -p d$i; seq 500 > d$i/n; git add -A; git commit -qm "commit $i"; done
        """
      let made = try run(["bash", "-c", script], env: environment, cwd: scratch.path)
      try #require(made.code == 0, "\(made.errors)")
    }

    var environment: [String: String] { ["HOME": scratch.path, "GIT_CONFIG_NOSYSTEM": "1"] }
    func clone(_ into: String) -> [String] {
      [git, "clone", "file://\(scratch.path)/source", into]
    }
    func state(_ of: String) throws -> String {
      let script =
        "git rev-parse HEAD && git status --porcelain && git fsck --full 2>&1 && git ls-tree -r HEAD && git log --format=%H"
      return try run(["bash", "-c", script], env: environment, cwd: "\(scratch.path)/\(of)").output
    }

    @Test func cloneWithinItsLimits() throws {
      let bare = try run(clone("bare"), env: environment, cwd: scratch.path)
      let r = try bcrun(
        ["--numfile", "60", "--numproc", "20", "--numothersock", "5", "--privvmpages", "1G"],
        clone("counted"),
        env: environment, cwd: scratch.path)
      #expect(r.ended.code == 0, "\(r.ended.errors)")
      #expect(r.ended.errors.replacingOccurrences(of: "counted", with: "bare") == bare.errors)
      #expect(try state("counted") == state("source"))
      #expect(try state("bare") == state("source"))
      r.within()
    }

    @Test func noProcessForIt() throws {
      let r = try bcrun(["--numproc", "1"], clone("none"), env: environment, cwd: scratch.path)
      #expect(r.ended.code == 128)
      #expect(r.ended.errors.contains("cannot fork() for git-upload-pack"))
      #expect(r.ended.errors.contains("Resource temporarily unavailable"))
      #expect(!FileManager.default.fileExists(atPath: "\(scratch.path)/none"))
      try r.refused("numproc", errno: "EAGAIN")
    }

    @Test func noFileForIt() throws {
      let r = try bcrun(["--numfile", "3"], clone("none"), env: environment, cwd: scratch.path)
      #expect(r.ended.code == 128)
      #expect(r.ended.errors.contains("Too many open files in system"))
      #expect(try r.report.row("numfile").maxheld <= 3)
      try r.refused("numfile", errno: "ENFILE")
    }
  }
}
