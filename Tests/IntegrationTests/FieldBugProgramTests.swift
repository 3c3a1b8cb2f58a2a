import Foundation
import Testing

extension RealPrograms {
  /// The same with programs as they are installed.
  @Suite struct FieldBugPrograms {
    let scratch: Scratch

    init() throws { scratch = try Scratch() }

    /// 18 to 22, 30: shells that empty and set LD_PRELOAD, other libraries preloaded, static and
    /// setuid children, sessions.
    @Test(
      "18 to 22, 30: shells, sessions, static children",
      arguments: [
        "LD_PRELOAD= ls /; unset LD_PRELOAD; ls /; exec env -i sh -c 'exec sh -c \"exec ls /\"'",
        "LD_PRELOAD=libm.so.6 ls / | head -2; LD_PRELOAD=/no/such.so true",
        "busybox sh -c 'busybox ls /; busybox seq 3'",
        "script -qec 'tty; echo on a terminal' /dev/null", "setsid -w sh -c 'ls /'",
        "tar cf - /usr/include/linux | cksum",
        "man --version", "file /bin/true || true", "ssh -V", "(ulimit -n 4; ls /; echo $?)",
        "echo x | tee /dev/null; exit 3",
      ])
    func shells(line: String) throws {
      for bounds in Bounds.allCases { try indistinguishable(bounds, ["bash", "-c", line]) }
    }

    /// 23, 45, 54: programs that drop root, change root or enter namespaces stay members, and are
    /// counted once.
    @Test(
      "23, 45, 54: other users, roots and namespaces", .enabled(if: isRoot, "only root may"),
      arguments: [
        ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"],
        ["unshare", "-Urpfm", "--mount-proc"], ["unshare", "-n"], ["unshare", "-m"],
        ["chroot", "/"],
        ["bwrap", "--unshare-all", "--bind", "/", "/", "--proc", "/proc", "--dev", "/dev"],
      ])
    func elsewhere(command: [String]) throws {
      let sane = try tool(command[0])
      for one in ["heap.c", "descriptors.c"] {
        let made = try fieldBug(one, in: scratch)
        for bounds in Bounds.allCases {
          try indistinguishable(bounds, [sane] + command.dropFirst() + [made])
        }
      }
      let loop = ["sh", "-c", "for i in 1 2 3 4 5 6; do /bin/true; (true); done; echo done"]
      for bounds in Bounds.allCases {
        try indistinguishable(bounds, [sane] + command.dropFirst() + loop)
      }
    }

    /// 5, 58: ThreadSanitizer and UBSan as they are; AddressSanitizer, which insists on being
    /// first, once told not to. Under a bound of memory they cannot exist: their shadows are mapped
    /// by system calls of their own (docs/limits.md).
    @Test("5, 58: sanitizers", arguments: ["address", "thread", "undefined"]) func sanitizers(
      which: String
    ) throws {
      let env = [
        "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0", "TSAN_OPTIONS": "exitcode=9",
        "UBSAN_OPTIONS": "exitcode=9",
      ]
      for one in ["descriptors.c", "threads.c"] {
        try indistinguishable(
          .things, [fieldBug(one, in: scratch, ["-fsanitize=\(which)"])], env: env)
      }
    }

    /// 5: under valgrind and strace. valgrind's own memory is of no lease that could grow, so it is
    /// given no bound (docs/limits.md).
    @Test(
      "5: under valgrind and strace",
      arguments: [["valgrind", "-q", "--error-exitcode=9"], ["strace", "-f", "-o", "/dev/null"]])
    func watched(by: [String]) throws {
      let watcher = [try tool(by[0])] + by.dropFirst()
      for bounds in by[0] == "valgrind" ? [.things] : Bounds.allCases {
        try indistinguishable(bounds, watcher + [fieldBug("early.c", in: scratch)])
        try indistinguishable(bounds, watcher + ["/bin/ls", "/"])
        try indistinguishable(bounds, watcher + ["/bin/sh", "-c", "ls / | sort; (exit 4)"])
      }
    }

    @Test("5: under gdb") func underADebugger() throws {
      let early = try fieldBug("early.c", in: scratch)
      let commands = [
        "-nx", "-batch", "-ex", "break obtain", "-ex", "run", "-ex", "backtrace 1", "-ex", "kill",
      ]
      let run = try bcrun(Bounds.withMemory.options, [tool("gdb")] + commands + [early])
      #expect(run.ended.output.contains("#0  obtain (when="), "\(run.ended.output)")
      run.within()
    }

    /// 45, 48: members that are stopped or killed while they hold credit give way, and give all
    /// back.
    @Test("45, 48: stopped and killed members") func stoppedAndKilledMembers() throws {
      let line = """
        sh -c 'exec 5</dev/null; kill -STOP $$' & stopped=$!
        sh -c 'exec 5</dev/null; kill -KILL $$' & wait $! 2>/dev/null; echo killed $?
        sleep 0.1
        for i in 1 2 3 4 5 6 7 8 9 10; do eval "exec 1$i</dev/null" || echo refused $i; done
        kill -KILL $stopped; wait $stopped 2>/dev/null; echo stopped $?
        """
      let run = try bcrun(["--numfile", "14", "--numproc", "10"], ["bash", "-c", line])
      #expect(run.ended.output == "killed 137\nstopped 137\n", "\(run.ended.errors)")
      run.within()
    }
  }
}
