import Foundation
import Testing

@testable import Recount

/// The kernel's figures of real processes: a Python child each, which holds what it is told until
/// its input ends.
@Suite(.serialized) struct Rows {
  /// A child that runs `script`, says "ready", and lives on.
  final class Holder {
    let process = Process()
    private let input = Pipe(), output = Pipe()
    var pid: Int32 { process.processIdentifier }

    /// What it said after "ready".
    let numbers: [Int64]

    /// `says`: expressions that it prints once it is ready.
    init(_ script: String, says: String = "''") throws {
      process.executableURL = URL(filePath: "/usr/bin/python3")
      process.arguments = [
        "-c",
        "import ctypes, fcntl, mmap, os, pty, signal, sys, time\nlibc = ctypes.CDLL(None, use_errno=True)\n"
          + script
          + "\nprint('ready', \(says), flush=True)\nsys.stdin.readline()",
      ]
      process.standardInput = input
      process.standardOutput = output
      try process.run()
      var said = ""
      while !said.hasSuffix("\n"), case let more = output.fileHandleForReading.availableData,
        !more.isEmpty
      {
        said += String(decoding: more, as: UTF8.self)
      }
      numbers =
        said.split(separator: "\n").first?.split(separator: " ").dropFirst().compactMap {
          Int64($0)
        } ?? []
      try #require(said.hasPrefix("ready"), "the holder did not get ready")
    }

    deinit {
      try? input.fileHandleForWriting.close()
      process.waitUntilExit()
    }
  }

  @Test func flocksRangesAndOpenFileDescriptionLocks() throws {
    let one = try Holder(
      """
      import struct, tempfile
      f, g = tempfile.TemporaryFile(), tempfile.TemporaryFile()
      fcntl.flock(f, fcntl.LOCK_EX)
      fcntl.lockf(g, fcntl.LOCK_EX, 10, 0)
      fcntl.lockf(g, fcntl.LOCK_SH, 2, 4)
      fcntl.fcntl(f, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 100, 5, 0))  # F_OFD_SETLK
      """)
    let idle = try Holder("")
    #expect(Locks.count([one.pid, idle.pid]) == Locks.Held(perProcess: [1 + 3 + 1, 0]))
    #expect(Locks.count([idle.pid]) == Locks.Held(perProcess: [0]))
    #expect(Locks.count([]) == Locks.Held(perProcess: []))
  }

  /// A lock whose taker has died belongs to whoever has its description.
  @Test func lockOfOneThatIsGone() throws {
    let heir = try Holder(
      """
      import tempfile
      f = tempfile.TemporaryFile()
      if os.fork() == 0:
        fcntl.flock(f, fcntl.LOCK_EX)
        os._exit(0)
      os.wait()
      copy = os.dup(f.fileno())
      """)
    #expect(Locks.count([heir.pid]) == Locks.Held(perProcess: [1]))
  }

  /// A flock in the queue has its record; a range in the queue has none that counts.
  @Test func waiting() throws {
    let path = NSTemporaryDirectory() + "beancounter-locks-\(getpid())"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let first = try Holder(
      "f = open('\(path)', 'w')\nfcntl.flock(f, fcntl.LOCK_EX)\nfcntl.lockf(f, fcntl.LOCK_EX)")
    let second = try Holder(
      "import threading\nf = open('\(path)', 'w')\nthreading.Thread(target=fcntl.flock, args=(f, fcntl.LOCK_EX), daemon=True).start()\ntime.sleep(0.1)"
    )
    let third = try Holder(
      "import threading\nf = open('\(path)', 'w')\nthreading.Thread(target=fcntl.lockf, args=(f, fcntl.LOCK_EX), daemon=True).start()\ntime.sleep(0.1)"
    )
    #expect(Locks.count([first.pid, second.pid, third.pid]) == Locks.Held(perProcess: [2, 1, 0]))
  }

  @Test func linesOfProcLocks() {
    #expect(Locks.Line("1: FLOCK  ADVISORY  WRITE 7980 fe:00:16221653 0 EOF")?.kind == .flock)
    #expect(Locks.Line("3: OFDLCK ADVISORY  READ -1 00:2e:12 0 9")?.pid == -1)
    #expect(Locks.Line("2: -> POSIX  ADVISORY  WRITE 12 fe:00:5 0 EOF")?.counts == false)
    #expect(Locks.Line("2: -> FLOCK  ADVISORY  WRITE 12 fe:00:5 0 EOF")?.counts == true)
    #expect(Locks.Line("4: LEASE  ACTIVE    READ  12 fe:00:5 0 EOF")?.kind == .lease)
    #expect(Locks.Line("no such line") == nil)
  }

  @Test func pendingSignalsAndTimers() throws {
    let holder = try Holder(
      """
      signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN})
      for _ in range(3): os.kill(os.getpid(), signal.SIGUSR1)
      signal.pthread_kill(signal.SIGUSR2 and __import__('threading').get_ident(), signal.SIGUSR2)
      timer = ctypes.c_void_p()
      libc.timer_create(1, None, ctypes.byref(timer))
      """)
    #expect(Signals.count(holder.pid) == Signals.Pending(standard: 2, realTime: 0, timers: 1))
    #expect(Signals.held([holder.pid]) == Signals.Held(perProcess: [3], isExact: true))
    let busy = try Holder(
      """
      signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
      for i in range(7): libc.sigqueue(os.getpid(), signal.SIGRTMIN, None)
      """)
    #expect(Signals.count(busy.pid) == Signals.Pending(standard: 0, realTime: 1, timers: 0))
    // Exact unless another process of the same user happens to have such signals pending.
    let held = Signals.held([busy.pid, holder.pid])
    #expect(
      held.isExact
        ? held.perProcess == [7, 3]
        : (1...7).contains(held.perProcess[0]) && held.perProcess[1] == 3)
    #expect(Signals.count(-1) == nil)
  }

  @Test func memoryThatIsShared() throws {
    let holder = try Holder(
      """
      m = mmap.mmap(-1, 3 * 4096)  # shared, of no file
      f = os.memfd_create('rows'); os.ftruncate(f, 5 * 4096)
      g = os.memfd_create('rows2'); os.ftruncate(g, 7 * 4096); n = mmap.mmap(g, 7 * 4096); os.close(g)
      s = libc.shmget(0, 11 * 4096, 0o600 | 0o1000)
      child = os.fork()
      if child == 0: sys.stdin.readline(); os._exit(0)
      import atexit; atexit.register(lambda: (libc.shmctl(s, 0, None), os.wait()))
      """)
    let child = try #require(Procfs.children(holder.pid).first)
    let held = try #require(SharedMemory.count([holder.pid, child]))
    #expect(held.perProcess == [3 + 5 + 7 + 11, 0])
    #expect(Array(held.kept.values) == [0])
    // The segment is its maker's, the rest whoever's has it.
    #expect(SharedMemory.count([child])?.perProcess == [3 + 5 + 7])
    let orphaned = try #require(SharedMemory.count([child], known: Set(held.kept.keys)))
    #expect(Array(orphaned.orphans.values) == [11])
    #expect(Set(orphaned.orphans.keys) == Set(held.kept.keys))
    // Older than the beancounter: of the files with a descriptor only what came since.
    #expect(SharedMemory.count([holder.pid], born: .max)?.perProcess == [3 + 7 + 11])
  }

  @Test func memoryThatIsLocked() throws {
    let holder = try Holder(
      """
      m = mmap.mmap(-1, 4 * 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
      at = ctypes.addressof(ctypes.c_char.from_buffer(m))
      assert libc.mlock(ctypes.c_void_p(at), 2 * 4096) == 0
      s = libc.shmget(0, 3 * 4096, 0o600 | 0o1000)
      libc.shmctl(s, 11, None)  # SHM_LOCK
      import atexit; atexit.register(lambda: libc.shmctl(s, 0, None))
      """)
    #expect(LockedMemory.pages(holder.pid) == 2)
    #expect(LockedMemory.count([holder.pid]).perProcess == [5])
    #expect(LockedMemory.pages(-1) == nil)
  }

  @Test func terminalsAndInotify() throws {
    let holder = try Holder(
      """
      a = os.open('/dev/ptmx', os.O_RDWR); b = os.dup(a); c = pty.openpty()
      i = libc.inotify_init(); j = os.dup(i); k = libc.inotify_init()
      """)
    let count = Descriptors.count([.init(pid: holder.pid) { [] }], outside: [(getpid(), [])])
      .perProcess[0]
    #expect(count.terminals == 2)
    #expect(count.inotify == 2)
  }

  /// Closed after it was listed, and its number another file's at once: a duplicate would be none of
  /// the others, and a socket of another kind.
  @Test(arguments: ["/dev/ptmx", "/dev/null"])
  func aNumberThatIsAnotherFilesMeanwhile(path: String) throws {
    let holder = try Holder(
      """
      import socket
      a = os.open('\(path)', os.O_RDWR | os.O_NOCTTY); b = os.open('\(path)', os.O_RDWR | os.O_NOCTTY)
      s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); t = socket.socket()
      c = os.dup(a); n = s.fileno(); m = t.fileno()
      signal.pthread_sigmask(signal.SIG_SETMASK, [])
      signal.signal(signal.SIGUSR1, lambda *_: os.dup2(n, c))
      signal.signal(signal.SIGUSR2, lambda *_: os.dup2(n, m))
      """, says: "c, m, n")
    let numbers = holder.numbers.map { Int32($0) }
    func count(_ meanwhile: @escaping () -> Void) -> Descriptions.Count {
      let process = Descriptors.Process(pid: holder.pid) {
        meanwhile()
        return []
      }
      return Descriptors.count([process], outside: []).perProcess[0]
    }
    func become(_ signal: Int32, _ fd: Int32) {
      kill(holder.pid, signal)
      for _ in 0..<100_000
      where Descriptors.name(holder.pid, fd) != Descriptors.name(holder.pid, numbers[2]) {
        usleep(100)
      }
    }
    let before = count {}
    #expect(count { become(SIGUSR1, numbers[0]) } == before)
    let after = count { become(SIGUSR2, numbers[1]) }
    #expect(after.tcpSockets == before.tcpSockets - 1)
    #expect(after.otherSockets == before.otherSockets)
    #expect(after.files == before.files - 1)
  }
}
