import Foundation
import Glibc
import Testing

extension RealPrograms {
  /// Members that vanish from the server's sight: what they do there is counted and refused as
  /// ever.
  @Suite struct MembersThatVanish {
    let scratch: Scratch
    let muted: String

    init() throws {
      scratch = try Scratch()
      muted = try fieldBug("muted.c", in: scratch)
      try FileManager.default.createDirectory(
        atPath: "\(scratch.path)/empty", withIntermediateDirectories: false)
    }

    /// 40 files, 200 MiB and `tasks` tasks, used to the last unit: `files` and `forks` of them by
    /// the program itself and its children.
    private func bounded(
      _ prefix: [String], _ way: String, tasks: Int = 6, files: Int = 40, forks: Int? = 5,
      _ here: SourceLocation = #_sourceLocation
    ) throws -> Run {
      let run = try bcrun(
        ["--numfile", "40", "--privvmpages", "200M", "--numproc", "\(tasks)"],
        prefix + [muted, way, "\(scratch.path)/empty"])
      let said = run.ended
      #expect(said.code == 4, "\(said.output)\(said.errors)", sourceLocation: here)
      #expect(said.number("child's files") == files - 25, sourceLocation: here)
      #expect(said.number("child's errno") == Int(ENFILE), sourceLocation: here)
      #expect(said.number("files alone") == files, sourceLocation: here)
      #expect(said.number("errno") == Int(ENFILE), sourceLocation: here)
      // A process has something of its own, and a child a copy of that.
      #expect(150...199 ~= said.number("memory"), "\(said.output)", sourceLocation: here)
      #expect(150...199 ~= said.number("child's memory"), "\(said.output)", sourceLocation: here)
      #expect(said.number("memory errno") == Int(ENOMEM), sourceLocation: here)
      #expect(said.number("forks") == forks ?? -1, sourceLocation: here)
      let denied = try ["numfile", "privvmpages", "numproc"].map { try run.report.row($0).failcnt }
      #expect(denied == [2, 2, forks == nil ? 0 : 1], sourceLocation: here)
      #expect(try run.report.row("numfile").maxheld == 40, sourceLocation: here)
      #expect(try run.report.row("privvmpages").maxheld <= 200 << 8, sourceLocation: here)
      run.returned(here)
      return run
    }

    /// Design §4: without a socket the question goes through the mailbox. A filter that kills on
    /// sockets; one that kills on all but twenty calls; in a root directory and a network namespace
    /// where the server has no name, by libc and by syscall(2).
    @Test("54: no socket can be had", arguments: ["none", "filter", "sandbox", "far", "raw"])
    func noSocketCanBeHad(way: String) throws {
      guard isRoot || !["far", "raw"].contains(way) else { return }
      let run = try bounded([], way, forks: way == "sandbox" ? nil : 5)
      #expect(run.report.uncovered.isEmpty, "\(run.report.uncovered)")
      #expect(run.report.rows["numfile"]?.status == "exact")
    }

    /// … where no descriptor is free, and soft and hard limit are equal: memory and processes are
    /// had to the last unit all the same.
    @Test("27: no descriptor is free") func noDescriptorIsFree() throws {
      let run = try bcrun(
        ["--numfile", "40", "--privvmpages", "200M", "--numproc", "6"], [muted, "full"])
      #expect(run.ended.number("full errno") == Int(EMFILE))
      #expect(150...199 ~= run.ended.number("memory"), "\(run.ended.output)")
      #expect(run.ended.number("forks") == 5)
      #expect(
        try ["numfile", "privvmpages", "numproc"].map { try run.report.row($0).failcnt } == [
          0, 1, 1,
        ])
      run.returned()
    }

    /// What a muted program starts is named; its library does not come with it, nor a word on
    /// stderr.
    @Test("23: a root directory without the library", .enabled(if: isRoot, "only root may"))
    func outOfSight() throws {
      let jail = "\(scratch.path)/jail"
      for file in try run([
        "sh", "-c", "echo /bin/ls /bin/sh; ldd /bin/ls /bin/sh | grep -o '/[^ ]*'",
      ]).output.split(whereSeparator: \.isWhitespace)
      where !file.hasSuffix(":") {
        let to = "\(jail)\(file)"
        try FileManager.default.createDirectory(
          atPath: String(to.prefix(upTo: to.lastIndex(of: "/")!)), withIntermediateDirectories: true
        )
        try run(["cp", "-Ln", String(file), to])
      }
      let command = [
        "chroot", jail, "/bin/sh", "-c",
        "/bin/ls /; for i in 1 2 3 4 5 6 7 8 9; do /bin/ls / >/dev/null; done; exit 3",
      ]
      let bare = try run(command)
      for bounds in [["--numfile", "40"], ["--numfile", "40", "--privvmpages", "200M"]] {
        let run = try bcrun(bounds, command)
        #expect(run.ended.output == bare.output)
        #expect(run.ended.errors == bare.errors)
        #expect(run.ended.code == 3)
        #expect(
          run.report.uncovered.contains { $0.reason == "library out of sight" },
          "\(run.report.uncovered)")
        run.within()
      }
    }

    /// Real containers, socket and library bound in; environments and descriptors that were thrown
    /// away.
    @Test(arguments: [
      ["unshare", "-Urpfm", "--mount-proc"], ["env", "-i"], ["setsid", "-w"], ["chroot", "/"],
      ["unshare", "-n"],
      ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"],
      ["sh", "-c", "exec \"$@\" <&- 2>&-", "sh"],
      ["sh", "-c", "exec env -i unshare -Urpfm --mount-proc setsid -w env -i \"$@\"", "sh"],
    ])
    func elsewhere(prefix: [String]) throws {
      guard isRoot || !["chroot", "setpriv", "unshare"].contains(prefix[0]) else { return }
      let forking = prefix.contains { $0 == "-Urpfm" || $0.contains("-Urpfm") }
      // unshare -f and setsid -w wait for what they start.
      let waiting = (forking ? 1 : 0)
      let run = try bounded(prefix, "none", tasks: 6 + waiting)
      #expect(run.report.uncovered.isEmpty, "\(run.report.uncovered)")
      #expect(run.report.rows["numproc"]?.maxheld == 6 + waiting)
    }

    /// bubblewrap, with all of / and with a root directory of its own. It has two descriptors for
    /// itself and makes its child with a system call of its own, which is noticed and named.
    @Test(arguments: [
      "--bind / /",
      "--ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin",
    ])
    func bubblewrap(root: String) throws {
      let own =
        "--bind ${BC_SERVER%/*} ${BC_SERVER%/*} --ro-bind $BC_SHIM $BC_SHIM --bind \(scratch.path) \(scratch.path)"
      let line =
        "exec bwrap --unshare-all --die-with-parent \(root) \(root.hasPrefix("--bind") ? "" : own) --proc /proc --dev /dev \"$@\""
      let run = try bounded(["sh", "-c", line, "sh"], "none", tasks: 8, files: 38, forks: 5)
      #expect(run.report.uncovered.map(\.reason) == ["raw system calls"])
      #expect(run.report.rows["numproc"]?.maxheld == 8)
    }

    /// … and with nothing bound in: nothing is refused but memory, which the kernel holds, and
    /// everybody is named.
    @Test func containerWithNothingInIt() throws {
      let line = """
        exec bwrap --unshare-all --die-with-parent --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
        --symlink usr/bin /bin --ro-bind \(muted) /muted --proc /proc --dev /dev /muted none
        """
      let run = try bcrun(["--numfile", "40", "--privvmpages", "200M"], ["sh", "-c", line])
      #expect(run.ended.code == 4)
      #expect(run.ended.errors == "")
      #expect(
        run.ended.number("files alone") == 4000 || run.ended.number("files alone") > 100,
        "\(run.ended.output)")
      #expect(run.ended.number("memory") < 200)
      #expect(
        run.report.uncovered.contains { $0.reason == "out of reach of the server" },
        "\(run.report.uncovered)")
      run.returned()
    }

    /// A setuid program that changes its user drops the library: named, its memory held by the
    /// kernel at its lease.
    @Test(.enabled(if: isRoot, "only root may make one")) func setuid() throws {
      let copy = "\(scratch.path)/setuid"
      try run(["cp", muted, copy])
      chmod(copy, 0o4755)
      let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
      let run = try bcrun(["--numfile", "40", "--privvmpages", "200M"], nobody + [copy, "none"])
      #expect(run.ended.code == 4, "\(run.ended.errors)")
      #expect(run.ended.number("memory") < 200)
      #expect(
        run.report.uncovered.contains { $0.reason == "setuid" && $0.executable == copy },
        "\(run.report.uncovered)")
      run.returned()
    }

    /// The child of a child whose parent has ended.
    @Test func doubleFork() throws {
      let out = "\(scratch.path)/out"
      let line =
        "(\"$@\" >\(out) 2>&1 &); while ! grep -q 'forks errno' \(out) 2>/dev/null; do sleep 0.05; done; sleep 0.2"
      let run = try bcrun(
        ["--numfile", "40", "--numproc", "8"], ["sh", "-c", line, "sh", muted, "none"])
      let text = scratch.read("out")
      #expect(text.contains("files alone 4") || text.contains("files alone 3"), "\(text)")
      #expect(text.contains("errno \(ENFILE)") && text.contains("forks errno \(EAGAIN)"), "\(text)")
      #expect(try run.report.row("numfile").maxheld == 40)
      #expect(try run.report.row("numproc").maxheld == 8)
      run.returned()
    }
  }
}
