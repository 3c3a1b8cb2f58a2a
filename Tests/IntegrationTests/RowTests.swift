import Foundation
import Testing

extension RealPrograms {
  /// Every row of the shim's table, driven by a program that is made from that table.
  @Suite struct Rows {
    let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func compiled(_ source: String) throws -> String {
      let made =
        "\(scratch.path)/\(URL(filePath: source).deletingPathExtension().lastPathComponent)"
      let compiler = try run([
        tool("gcc"), "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-I",
        "\(repository)/Sources/Wire/include", "-I",
        "\(repository)/Shim", "-o", made, source,
      ])
      try #require(compiler.code == 0, "\(compiler.errors)")
      return made
    }

    /// Made, refused by the kernel, denied: the result and errno are those of a bare run, nothing
    /// stays charged, and at the barrier each fails as it should.
    @Test("46: every row through success, refusal and denial") func eachIsMadeRefusedAndDenied()
      throws
    {
      let rows = try compiled(program("rows/rows.c"))
      let bare = try run([rows])
      #expect(bare.code == 0, "\(bare.output)")
      #expect(bare.lines.count > 120)
      let barrier = 40
      let counted = try bcrun(["--numfile", "\(barrier)"], [rows, "\(barrier)"])
      #expect(counted.ended.code == 0, "\(counted.ended.output)")
      #expect(counted.ended.output == bare.output)
      try counted.refused("numfile", errno: "ENFILE")
      #expect(try counted.report.row("numfile").maxheld == barrier)
    }

    /// No function of the installed C library that obtains something is missing from the table.
    @Test func theTableIsWhole() throws {
      let check = try run(["\(repository)/Tests/check-table"])
      #expect(check.code == 0, "\(check.output)\(check.errors)")
    }

    /// A model of the kernel's own records (fcntl(2)): exact after every one of 2000 random steps.
    @Test(arguments: 1...4) func lockedRangesAreCountedExactly(seed: Int) throws {
      let ranges = try compiled(program("rows/ranges.c"))
      let r = try bcrun(["--limit", "numflock=1000"], [ranges, "\(seed)", "2000"])
      #expect(r.ended.output == "exact\n", "seed \(seed)")
      r.within()
    }

    struct Kind: CustomTestStringConvertible {
      var name: String
      var bound: String
      /// What each call comes to: `ok`, or the errno.
      var calls: [String]
      var testDescription: String { name }
    }

    static let kinds = [
      Kind(
        name: "numpty", bound: "3",
        calls: [
          "open: ok", "posix_openpt: ok", "fopen: ok", "open again: ENOMEM", "fopen again: ENOMEM",
          "getpt: ENOMEM",
          "openpty: ENOMEM", "forkpty: ENOMEM", "openpty after close: ok",
          "forkpty after fclose: ok", "getpt: ok",
          "getpt: ok", "getpt: ENOMEM",
        ]),
      Kind(
        name: "numinotify", bound: "3",
        calls: [
          "inotify_init: ok", "inotify_init1: ok", "inotify_init: ok", "inotify_init: EMFILE",
          "inotify_init1: EMFILE",
          "inotify_init: ok", "inotify_init: ok", "inotify_init: EMFILE",
        ]),
      Kind(
        name: "numflock", bound: "3:4",
        calls: [
          "flock: ok", "flock: ok", "flock: ok", "flock: ENOMEM", "flock converted: ok",
          "range: ENOLCK", "lockf: ENOLCK",
          "lease: ENOMEM", "unlock: ok", "range: ok", "range that grows: ok", "lockf: ok",
          "range that cuts: ENOLCK",
          "unlock that cuts: ok", "unlock that cuts: ENOLCK", "unlock all: ok", "lease: ok",
          "no lease: ok", "range: ok",
          "range: ok", "range: ok", "range: ENOLCK", "bad pointer: EFAULT",
        ]),
      Kind(
        name: "numsiginfo", bound: "3",
        calls: [
          "delivered at once: 0 refused", "timer_create: ok", "timer_create: ok",
          "timer_create: ok",
          "timer_create: EAGAIN", "timer_delete: ok", "timer_delete: ok", "sigqueue: ok",
          "sigqueue: ok",
          "sigqueue: EAGAIN", "asks only: ok", "sigqueue: ok",
        ]),
      Kind(
        name: "shmpages", bound: "10",
        calls: [
          "shmget: ok", "shmget: ENOSPC", "shmget: ok", "found: ok", "mmap: ok", "mmap: ENOMEM",
          "ftruncate: ok",
          "ftruncate: ENOSPC", "smaller: ok", "fallocate: ok", "fallocate: ENOSPC",
          "posix_fallocate: ENOSPC",
          "shm_open ftruncate: ok", "shm_open ftruncate: ENOSPC", "removed: ok",
          "removed later: ok", "shmget: ENOSPC",
          "detached: ok", "shmget: ok", "removed: ok",
        ]),
      Kind(
        name: "lockedpages", bound: "10",
        calls: [
          "mlock: ok", "mlock the same: ok", "mlock across: ok", "mlock2: ENOMEM", "mmap: ENOMEM",
          "mlockall: ENOMEM",
          "munlock: ok", "mlock2: ok", "munlockall: ok", "SHM_LOCK: ok", "mlock: ENOMEM",
          "SHM_UNLOCK: ok", "mlock: ok",
        ]),
    ]

    /// The other rows: what each call comes to at the bound, all given back, every refusal in
    /// failcnt, none beyond the limit.
    @Test(arguments: kinds) func callsOfOtherRows(kind: Kind) throws {
      let others = try compiled(program("rows/others.c"))
      let r = try bcrun(["--limit", "\(kind.name)=\(kind.bound)"], [others, kind.name])
      #expect(r.ended.lines.map(String.init) == kind.calls)
      let row = try r.report.row(kind.name)
      #expect(row.failcnt == kind.calls.count { $0.contains(": E") && !$0.hasPrefix("bad") })
      #expect(
        row.failcnt
          == r.report.denials.filter { $0.resource == kind.name }.reduce(0) { $0 + $1.count })
      #expect(row.maxheld == row.limit)
      r.returned()
    }

    struct Exact: CustomTestStringConvertible {
      var row: String
      var errno: String
      /// Of the barrier's units, those that the program has before it takes any.
      var before = 0
      var testDescription: String { row }
    }

    static let exact = [
      Exact(row: "numfile", errno: "ENFILE"), Exact(row: "numtcpsock", errno: "ENOBUFS"),
      Exact(row: "numothersock", errno: "ENOMEM"),
      Exact(row: "numpty", errno: "ENOMEM"), Exact(row: "numinotify", errno: "EMFILE"),
      Exact(row: "numflock", errno: "ENOMEM"),
      Exact(row: "numproc", errno: "EAGAIN", before: 1), Exact(row: "numsiginfo", errno: "EAGAIN"),
      Exact(row: "shmpages", errno: "ENOSPC"), Exact(row: "lockedpages", errno: "ENOMEM"),
    ]

    /// HARD stops at the barrier, whatever the limit: exactly so many, the next is refused, one
    /// given back is one to take.
    @Test(arguments: exact) func takesBarrierUnits(one: Exact) throws {
      let exact = try compiled(program("rows/exact.c"))
      let r = try bcrun(["--limit", "\(one.row)=5:9"], [exact, one.row])
      #expect(
        r.ended.output
          == "took \(5 - one.before)\nrefused \(one.errno)\nagain\nrefused \(one.errno)\n")
      try r.refused(one.row, 2, errno: one.errno)
      #expect(try r.report.row(one.row).maxheld == 5)
      #expect(try r.report.row(one.row).status == "exact")
    }

    /// To the page, as the kernel counts them.
    @Test func takesBarrierPages() throws {
      let exact = try compiled(program("rows/exact.c"))
      let r = try bcrun(["--privvmpages", "4000:8000"], [exact, "privvmpages"])
      #expect(r.ended.output == "took all: 16000 kB\nrefused ENOMEM\nagain\nrefused ENOMEM\n")
      try r.refused("privvmpages", 2, errno: "ENOMEM")
      #expect(try r.report.row("privvmpages").maxheld == 4000)
    }

    /// mprotect(2) that makes memory writable is SOFT: between barrier and limit it is let through,
    /// and mmap(2) is not.
    @Test func mprotectPassesTheBarrier() throws {
      let r = try bcrun(
        ["--privvmpages", "6000:9000"],
        [
          tool("python3"), "-c",
          """
          import ctypes, mmap
          libc = ctypes.CDLL(None, use_errno=True)
          libc.mmap.restype = ctypes.c_void_p
          def page(n, prot): return libc.mmap(None, ctypes.c_size_t(n * 4096), prot, 0x22, -1, 0)
          asleep = page(2000, 1)
          while page(64, 3) not in (None, 2**64 - 1, -1): pass
          held = int(open('/proc/self/status').read().split('VmData:')[1].split()[0]) // 4
          print('below' if held <= 6000 else held)
          print('mprotect', libc.mprotect(ctypes.c_void_p(asleep), ctypes.c_size_t(2000 * 4096), 3))
          print('mmap', page(64, 3) in (None, 2**64 - 1, -1))
          more = page(2000, 1)
          print('beyond the limit', libc.mprotect(ctypes.c_void_p(more), ctypes.c_size_t(2000 * 4096), 3), ctypes.get_errno())
          """,
        ])
      #expect(
        r.ended.output == "below\nmprotect 0\nmmap True\nbeyond the limit -1 12\n",
        "\(r.ended.errors)")
      let row = try r.report.row("privvmpages")
      #expect(row.maxheld > 6000 && row.maxheld <= 9000)
      r.returned()
    }

    /// SOFT passes the barrier, and what comes back from beyond it is not for HARD.
    @Test func softThenHard() throws {
      let r = try bcrun(
        ["--limit", "numflock=3:4"],
        [
          tool("python3"), "-c",
          """
          import fcntl, sys
          f = [open(sys.argv[1] + str(i), 'w') for i in range(5)]
          def say(fn, *args):
            try: fn(*args); print('ok', end=' ')
            except OSError as e: print(e.errno, end=' ')
          say(fcntl.lockf, f[0], fcntl.LOCK_EX, 100, 0)
          say(fcntl.flock, f[1], fcntl.LOCK_EX); say(fcntl.flock, f[2], fcntl.LOCK_EX); say(fcntl.flock, f[3], fcntl.LOCK_EX)
          say(fcntl.lockf, f[0], fcntl.LOCK_UN, 10, 50)
          say(fcntl.flock, f[1], fcntl.LOCK_UN); say(fcntl.flock, f[3], fcntl.LOCK_EX)
          say(fcntl.flock, f[2], fcntl.LOCK_UN); say(fcntl.flock, f[3], fcntl.LOCK_EX); say(fcntl.flock, f[4], fcntl.LOCK_EX)
          """, "\(scratch.path)/lock",
        ])
      #expect(r.ended.output == "ok ok ok 12 ok ok 12 ok ok 12 ")
      try r.refused("numflock", 3, errno: "ENOMEM")
      #expect(try r.report.row("numflock").maxheld == 4)
    }

    struct Buffer: CustomTestStringConvertible {
      var kind: String
      var row: String
      var calls: [String]
      var testDescription: String { "\(kind) \(row)" }
    }

    static let buffers = [
      Buffer(
        kind: "local", row: "othersockbuf",
        calls: [
          "pair: ok", "as large as the bound: ok", "larger: ENOMEM", "receive: ok", "full: ENOMEM",
          "full too: ENOBUFS",
          "another row: ok", "smaller: ok", "drained: ok",
        ]),
      Buffer(
        kind: "udp", row: "dgramrcvbuf",
        calls: [
          "socket: ok", "as large as the bound: ok", "larger: ENOBUFS", "full: ENOBUFS",
          "another row: ok", "drained: ok",
        ]),
      Buffer(
        kind: "tcp", row: "tcprcvbuf",
        calls: [
          "socket: ok", "as large as the bound: ok", "larger: ENOBUFS", "accept: ok",
          "full: ENOBUFS", "accept: ENFILE",
          "another row: ok", "drained: ok", "accept: ok",
        ]),
      Buffer(
        kind: "tcp", row: "tcpsndbuf",
        calls: [
          "socket: ok", "as large as the bound: ok", "larger: ok", "accept: ok", "full: ENOBUFS",
          "accept: ENFILE",
          "another row: ok", "drained: ok", "accept: ok",
        ]),
    ]

    /// Full, no socket of the kind is made and none's buffer grows beyond the bound; what was read
    /// makes room.
    @Test(arguments: buffers) func socketBuffers(one: Buffer) throws {
      let buffers = try compiled(program("rows/buffers.c"))
      let r = try bcrun(["--limit", "\(one.row)=300000:400000"], [buffers, one.kind, "300000"])
      #expect(r.ended.lines.map(String.init) == one.calls)
      let row = try r.report.row(one.row)
      #expect(row.failcnt == one.calls.count { $0.contains(": E") })
      #expect(row.maxheld > 290_000)
      #expect(row.status == "estimate" || row.status == "view")
      r.returned()
    }

    /// The least that the kernel lets a socket buffer must fit, to the byte.
    @Test func leastOfASocket() throws {
      for (row, bytes) in [("tcpsndbuf", 4608), ("tcprcvbuf", 2304)] {
        let script =
          "import socket, errno\ntry: socket.socket(); print('ok')\nexcept OSError as e: print(errno.errorcode[e.errno])"
        for (bound, said) in [(bytes, "ok\n"), (bytes - 1, "ENOBUFS\n")] {
          let r = try bcrun(["--limit", "\(row)=\(bound)"], [tool("python3"), "-c", script])
          #expect(r.ended.output == said, "\(row) \(bound)")
        }
      }
    }

    /// clearenv(3) before system(3) and popen(3): the shells are members all the same, and the
    /// program's own environment stays empty.
    @Test func shellsOfAProgramWithoutEnvironment() throws {
      let shells = try compiled(program("rows/shells.c"))
      let r = try bcrun(["--numfile", "50"], [shells])
      #expect(r.ended.output == "system: member\npopen: member\nown: empty\n")
      r.within()
    }
  }
}
