import Foundation
import Testing

/// A program of Tests/Programs/fieldbugs, compiled.
func fieldBug(_ name: String, in scratch: Scratch, _ flags: [String] = [], as made: String? = nil)
  throws -> String
{
  let isCPlusPlus = name.hasSuffix(".cpp")
  let output = "\(scratch.path)/\(made ?? String(name.prefix { $0 != "." }))"
  let compiled = try run(
    [
      tool(isCPlusPlus ? "g++" : "gcc"), "-O1", "-g", "-w", "-pthread",
      isCPlusPlus ? "-fnon-call-exceptions" : "-fno-builtin",
    ] + flags + ["-o", output, program("fieldbugs/\(name)")], timeout: 120)
  try #require(compiled.code == 0, "\(compiled.errors)")
  return output
}

/// Bounds that nothing here reaches: with memory, so that it is leased, and without.
enum Bounds: CaseIterable {
  case things, withMemory
  var options: [String] {
    [
      "--numfile", "20000", "--numproc", "3000", "--numtcpsock", "1000", "--numothersock", "1000",
      "--numflock", "1000",
    ]
      + (self == .withMemory ? ["--privvmpages", "8G"] : [])
  }
}

/// A bare and a counted run cannot be told apart: output, errors, exit status, signal. Nothing is
/// denied, and all comes back.
@discardableResult
func indistinguishable(
  _ bounds: Bounds, _ command: [String], env: [String: String] = [:], timeout: Double = 90,
  _ here: SourceLocation = #_sourceLocation
) throws -> Run {
  let bare = try run(command, env: env, timeout: timeout)
  let counted = try bcrun(bounds.options, command, env: env, timeout: timeout)
  #expect(counted.ended.output == bare.output, sourceLocation: here)
  #expect(counted.ended.errors == bare.errors, sourceLocation: here)
  #expect(counted.ended.code == bare.code, sourceLocation: here)
  #expect(counted.ended.signal == bare.signal, sourceLocation: here)
  counted.within(here)
  return counted
}

extension RealPrograms {
  /// How preloaded interposers break in the field: each number in the name of a test is one of the
  /// fifty-eight checks that the project keeps.
  @Suite struct FieldBugs {
    let scratch: Scratch

    init() throws { scratch = try Scratch() }

    /// 4, 50, 51: before any preloaded library is initialised (.preinit_array, others'
    /// constructors), and after main.
    @Test("4, 50, 51: before main and after exit", arguments: Bounds.allCases)
    func beforeMainAndAfterExit(bounds: Bounds) throws {
      let early = try fieldBug("early.c", in: scratch)
      let library = try fieldBug(
        "early.c", in: scratch, ["-DLIBRARY", "-shared", "-fPIC"], as: "libearly.so")
      let needed = try fieldBug(
        "early.c", in: scratch, ["-Wl,--no-as-needed,-rpath,\(scratch.path)", library], as: "needed"
      )
      let run = try indistinguishable(bounds, [early])
      #expect(run.ended.code == 5)
      #expect(run.ended.lines.count == 5)
      #expect(try indistinguishable(bounds, [needed]).ended.lines.count == 7)
      for preload in [
        "\(library)${LD_PRELOAD:+:$LD_PRELOAD}", "${LD_PRELOAD:+$LD_PRELOAD:}\(library)",
      ] {
        try indistinguishable(bounds, ["sh", "-c", "LD_PRELOAD=\(preload) exec \(early)"])
      }
    }

    /// 2, 4, 5: eager and lazy binding, the linker's own messages, an auditor.
    @Test(
      "2, 4, 5: eager and lazy binding, the linker's own messages, an auditor",
      arguments: ["LD_BIND_NOW=1", "LD_BIND_NOT=1", "LD_DEBUG=all", "LD_AUDIT"])
    func waysOfTheDynamicLinker(way: String) throws {
      let early = try fieldBug("early.c", in: scratch)
      let audit = try fieldBug("audit.c", in: scratch, ["-shared", "-fPIC"], as: "libaudit.so")
      let set =
        way == "LD_AUDIT"
        ? ["\(way)=\(audit)"]
        : way == "LD_DEBUG=all" ? [way, "LD_DEBUG_OUTPUT=\(scratch.path)/ld"] : [way]
      try indistinguishable(.withMemory, ["env"] + set + [early])
    }

    /// 4, 40, 43: order of C++ constructors and destructors, thread_local, exceptions out of
    /// handlers.
    @Test("4, 40, 43: objects of C++", arguments: Bounds.allCases) func objectsOfCPlusPlus(
      bounds: Bounds
    ) throws {
      let run = try indistinguishable(bounds, [fieldBug("statics.cpp", in: scratch)])
      #expect(run.ended.output.contains("caught 100"))
    }

    /// 6, 7, 9: plug-ins with RTLD_DEEPBIND, in a namespace of their own, with a malloc of their
    /// own; RTLD_NEXT and versions.
    @Test("6, 7, 9: plug-ins", arguments: Bounds.allCases) func plugIns(bounds: Bounds) throws {
      let plugin = try fieldBug("plugin.c", in: scratch, ["-shared", "-fPIC"], as: "plugin.so")
      let own = try fieldBug(
        "plugin.c", in: scratch, ["-shared", "-fPIC", "-DOWN", "-Wl,-Bsymbolic"], as: "own.so")
      let run = try indistinguishable(bounds, [fieldBug("loads.c", in: scratch), plugin, own])
      #expect(run.ended.output.contains("deep 3 closed 0"))
      #expect(run.ended.output.contains("a namespace of its own 3"))
    }

    /// 1, 8, 10, 11: every entry point of the allocator and errno, with the allocators that
    /// programs bring, before us and behind.
    @Test(
      "1, 8, 10, 11: allocators, linked and preloaded in either order",
      arguments: ["", "libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2.0"])
    func allocators(library: String) throws {
      let heap = try fieldBug("heap.c", in: scratch), early = try fieldBug("early.c", in: scratch)
      let forks = try fieldBug("forks.c", in: scratch)
      guard !library.isEmpty else {
        for bounds in Bounds.allCases { try indistinguishable(bounds, [heap]) }
        return
      }
      let places = [
        "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib",
      ].map { $0 + "/" + library }
      let path: String = try #require(
        places.first { access($0, R_OK) == 0 }, "no \(library) here: run Sources/setup test")
      for preload in ["\(path)${LD_PRELOAD:+:$LD_PRELOAD}", "${LD_PRELOAD:+$LD_PRELOAD:}\(path)"] {
        for one in [heap, early, forks] {
          try indistinguishable(.withMemory, ["sh", "-c", "LD_PRELOAD=\(preload) exec \(one)"])
        }
      }
      let linked = try fieldBug("heap.c", in: scratch, ["-Wl,--no-as-needed", path], as: "linked")
      for bounds in Bounds.allCases { try indistinguishable(bounds, [linked]) }
    }

    /// 12 to 19, 24, 34, 52: storms, handlers, vfork, clone, raw calls, posix_spawn, exec,
    /// environments, sessions, terminals.
    @Test("12 to 19, 24, 34, 52: ways to make a process", arguments: Bounds.allCases)
    func waysToMakeAProcess(bounds: Bounds) throws {
      let run = try indistinguishable(bounds, [fieldBug("forks.c", in: scratch)])
      #expect(run.ended.output.contains("storm bad 0"))
      #expect(run.ended.output.contains("argument of 128 KiB and one: 7"))
    }

    /// 12, 20, 25: a child has no socket of the questions that other threads were asking when it was
    /// forked, and nobody counts them; children that end are not counted together with those that
    /// follow. Programs that the server does not know yet are started meanwhile.
    @Test("12, 20, 25: forks while other threads ask", arguments: Bounds.allCases)
    func forksWhileOthersAsk(bounds: Bounds) throws {
      let images = try (0..<12).map { i in
        let path = scratch.path + "/image\(i)"
        try FileManager.default.copyItem(atPath: "/bin/true", toPath: path)
        return path
      }
      let program = try fieldBug("inherited.c", in: scratch, ["-pthread"])
      let run = try indistinguishable(bounds, [program, "3"] + images)
      #expect(run.ended.output == "sockets 0 refused 0 failed 0\n")
      // Its main thread, seven others, a child of each of three and an image.
      // One that has been waited for may count with the next (docs/limits.md).
      #expect(9...14 ~= (try run.report.row("numproc").maxheld))

      let memory = bounds == .withMemory ? ["--privvmpages", "1G"] : []
      let full = try bcrun(["--numfile", "12"] + memory, [program, "100"] + images)
      #expect(full.ended.output == "sockets 0 refused 0 failed 0\n")
      // What a loader opens passes the bound (docs/limits.md).
      #expect(12...13 ~= (try full.report.row("numfile").maxheld))
      #expect(try full.report.row("numothersock").maxheld == 0)
      full.returned()
    }

    /// 25 to 29, 32, 33: numbers of descriptors after every way to close or replace them, at
    /// EMFILE, and after exec.
    @Test("25 to 29, 32, 33: numbers of descriptors", arguments: Bounds.allCases)
    func numbersOfDescriptors(bounds: Bounds) throws {
      let run = try indistinguishable(bounds, [fieldBug("descriptors.c", in: scratch)])
      #expect(run.ended.output.contains("of 3 made 0 errno 24 block 1 child 24"))
    }

    /// 30: as _FORTIFY_SOURCE and 64-bit offsets name the functions.
    @Test(
      "30: as _FORTIFY_SOURCE and 64-bit offsets name the functions",
      arguments: [["-D_FORTIFY_SOURCE=2", "-O2"], ["-D_FILE_OFFSET_BITS=64"]]) func variants(
        flags: [String]
      ) throws
    {
      try indistinguishable(.withMemory, [fieldBug("descriptors.c", in: scratch, flags)])
      try indistinguishable(.withMemory, [fieldBug("forks.c", in: scratch, flags)])
    }

    /// 36 to 38, 41, 43, 53, 55: signals at 10 kHz, jumps and cancellation out of blocked calls,
    /// least stacks, bad pointers, EINTR.
    @Test("36 to 38, 41, 43, 53, 55: signals at 10 kHz, least stacks", arguments: Bounds.allCases)
    func signals(bounds: Bounds) throws {
      let run = try indistinguishable(bounds, [fieldBug("signals.c", in: scratch)])
      #expect(run.ended.output.contains("often: wrong 0 enough 1"))
    }

    /// 40, 42: data of threads that end, signal masks; and no thread and no handler that the
    /// program did not make.
    @Test("40, 42: data of threads that end, signal masks", arguments: Bounds.allCases)
    func threads(bounds: Bounds) throws {
      let run = try indistinguishable(bounds, [fieldBug("threads.c", in: scratch)])
      #expect(run.ended.output == "wrong 0 joined 1000 rounds 8000 threads 1 handlers 0\n")
    }

    /// 39, 54 (of sshd and browsers, whose own filters are not here): filters that kill on, or
    /// refuse, what the shim needs; one that it can live with.
    @Test(
      "39, 54: filters that kill on, or refuse, what the shim needs",
      arguments: ["kill", "others", "errno", "only", "strict", "harmless"], Bounds.allCases)
    func seccomp(filter: String, bounds: Bounds) throws {
      let run = try indistinguishable(bounds, [fieldBug("sealed.c", in: scratch), filter])
      #expect(run.ended.signal == nil)
      // Its children are under the filter too: whether a look finds them is chance.
      #expect(
        Set(run.report.uncovered.map(\.reason)) == (filter == "harmless" ? [] : ["seccomp filter"]))
    }

    /// Of 60 calls that blocked and were left, none is charged for any more.
    @Test("38, 43, 55: accept and locks that are left") func leftCalls() throws {
      let run = try bcrun(
        ["--numothersock", "8", "--numflock", "5"],
        [fieldBug("left.c", in: scratch), "\(scratch.path)/lock"])
      #expect(
        run.ended.output == "sockets 7 errno \(ENOMEM)\nlocks 3 errno \(ENOMEM)\n",
        "\(run.ended.errors)")
      run.returned()
    }

    @Test("31: functions by the versions that old binaries name", arguments: Bounds.allCases)
    func oldVersions(bounds: Bounds) throws {
      let run = try indistinguishable(bounds, [fieldBug("old.c", in: scratch)])
      #expect(run.ended.output == "thread 0 1 spawn 0 0 timer 0\n")
      #expect(run.report.rows["numproc"]?.maxheld == 2)
    }

    @Test("35: io_uring escapes, and is named") func ring() throws {
      let run = try bcrun(["--numfile", "100"], [fieldBug("refused.c", in: scratch), "uring"])
      #expect(run.report.uncovered.map(\.reason) == ["raw system calls"])
      run.within()
    }

    @Test("57: what libc says of a refused process, while all else goes on") func refusedProcesses()
      throws
    {
      let run = try bcrun(
        ["--numproc", "1", "--numfile", "100", "--privvmpages", "1G"],
        [fieldBug("refused.c", in: scratch)])
      let said =
        "popen 0 errno \(ENOMEM)\nsystem -1 errno \(EAGAIN)\nposix_spawn \(EAGAIN)\nmalloc 1 open 1\n"
      #expect(run.ended.output == said, "\(run.ended.errors)")
      try run.refused("numproc", 3, errno: "EAGAIN")
    }

    /// Each of the fifty-eight is in the name of a test, in this suite or another.
    @Test func noneIsForgotten() throws {
      var named: Set<Int> = []
      let folder = "\(repository)/Tests/IntegrationTests"
      for file in try FileManager.default.contentsOfDirectory(atPath: folder)
      where file.hasSuffix(".swift") {
        for match in text(at: "\(folder)/\(file)").matches(of: #/@Test\(\s*"([0-9, to]+): /#) {
          for part in match.1.split(separator: ",") {
            let ends = part.matches(of: /[0-9]+/).compactMap { Int($0.0) }
            if let first = ends.first, let last = ends.last { named.formUnion(first...last) }
          }
        }
      }
      #expect(Set(1...58).subtracting(named).sorted() == [])
    }
  }
}
