import Foundation
import Testing

@testable import Recount

/// What can be seen of a process's memory, sockets and kernel objects, compared with what the
/// process itself knows.
@Suite(.serialized) struct SeenRows {
  typealias Holder = Rows.Holder

  private func buffers(
    _ pids: [Int32], without: [Int32] = [], outside: [(pid: Int32, fds: [Int32])] = []
  )
    -> SocketBuffers.Held
  {
    SocketBuffers.of(pids, Holdings.of(pids.map { .init(pid: $0) { without } }, outside: outside))
  }

  @Test func memoryThatIsInUse() throws {
    let pages: Int64 = 10000
    let idle = try Holder("")
    let before = try #require(Resident.of(idle.pid))
    let holder = try Holder("m = bytearray(b'x') * \(pages * 4096)")
    let past = try Holder("m = bytearray(b'x') * \(pages * 4096)\ndel m")
    let resident = try #require(Resident.of(holder.pid))
    #expect(resident.isSplit && before.isSplit)
    let inUse = resident.physical + resident.swapped
    #expect(inUse >= pages)
    #expect(inUse <= pages + 4 * (before.physical + before.swapped))
    #expect(try #require(Resident.peak(past.pid)) >= pages)
    #expect(try #require(Resident.of(past.pid)).physical < pages)
    #expect(Resident.of(-1) == nil && Resident.peak(-1) == nil)
  }

  /// What a fork shares is counted once, not in each.
  @Test func memoryThatIsSharedWithAChild() throws {
    let pages: Int64 = 20000
    let holder = try Holder(
      """
      m = mmap.mmap(-1, \(pages * 4096)); m.write(b'x' * \(pages * 4096))
      child = os.fork()
      if child == 0: sum(m[::4096]); sys.stdin.readline(); os._exit(0)
      import atexit; atexit.register(os.wait)
      time.sleep(0.2)
      """)
    let child = try #require(Procfs.children(holder.pid).first)
    let both = try [holder.pid, child].map { try #require(Resident.of($0)) }.reduce(0) {
      $0 + $1.physical + $1.swapped
    }
    #expect(both >= pages)
    #expect(both < 2 * pages)
  }

  @Test func aZombieHasNoMemory() throws {
    let holder = try Holder(
      "child = os.fork()\nif child == 0: os._exit(0)\nos.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)"
    )
    let child = try #require(Procfs.children(holder.pid).first)
    #expect(Resident.of(child) == Resident(physical: 0, swapped: 0, isSplit: true))
    let objects = KernelMemory.count(
      [child], files: [0], Holdings.of([.init(pid: child) { [] }], outside: []))
    #expect(objects[0].tasks == 1 && objects[0].processes == 0)
  }

  /// SO_MEMINFO (socket(7)) of a process's own sockets is what sock_diag must say.
  @Test func buffersOfEachKindOfSocket() throws {
    let holder = try Holder(
      """
      import socket, struct
      def meminfo(s): return struct.unpack('9I', s.getsockopt(socket.SOL_SOCKET, 55, 36))
      a, b = socket.socketpair()
      a.send(b'x' * 50000); a.send(b'y')
      u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('127.0.0.1', 0))
      v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
      for i in range(5): v.sendto(b'z' * 1000, u.getsockname())
      l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen()
      c = socket.create_connection(l.getsockname()); d, _ = l.accept()
      d.setblocking(False)
      n = 0
      try:
        while True: n += d.send(b'w' * 65536)
      except BlockingIOError: pass
      time.sleep(0.3)
      tcp, un, udp = [meminfo(s) for s in (l, c, d)], [meminfo(s) for s in (a, b)], [meminfo(s) for s in (u, v)]
      # rmem_alloc, rcvbuf, wmem_alloc, sndbuf, fwd_alloc, wmem_queued
      report = (sum(s[5] for s in tcp), sum(s[0] for s in tcp), sum(s[2] for s in un + udp), sum(s[0] for s in udp), n)
      """, says: "*report")
    let own = holder.numbers
    try #require(own.count == 5)
    let held = buffers([holder.pid])
    #expect(held.hidden == 0)
    let seen = held.perProcess[0]
    #expect([seen.tcpSend, seen.tcpReceive, seen.other, seen.datagramReceive] == Array(own[..<4]))
    #expect(
      seen.tcpSend + seen.tcpReceive >= own[4], "all that was sent is in one buffer or the other")
    #expect(seen.other >= 50001 && seen.datagramReceive >= 5000)
  }

  @Test func sharedSocketsCountOnceAndOthersNotAtAll() throws {
    let holder = try Holder(
      """
      import socket
      a, b = socket.socketpair(); a.send(b'x' * 10000)
      child = os.fork()
      if child == 0: sys.stdin.readline(); os._exit(0)
      import atexit; atexit.register(os.wait)
      """, says: "a.fileno(), b.fileno()")
    let child = try #require(Procfs.children(holder.pid).first)
    let both = buffers([holder.pid, child])
    #expect(both.perProcess[0].other >= 10000)
    #expect(both.perProcess[1] == SocketBuffers())
    #expect(buffers([child]).perProcess[0] == both.perProcess[0])
    let ends = holder.numbers.map { Int32($0) }
    #expect(
      buffers([child], outside: [(holder.pid, ends)]).perProcess[0] == SocketBuffers(),
      "somebody else's")
    #expect(buffers([holder.pid], without: ends).perProcess[0] == SocketBuffers(), "the shim's own")
  }

  /// A network namespace of its own hides a process's sockets, and that is said.
  @Test func socketsOfAnotherNetwork() throws {
    let holder = try Holder(
      """
      import socket
      new = 0x40000000 if os.geteuid() == 0 else 0x50000000  # CLONE_NEWNET, with CLONE_NEWUSER for those who need it
      assert libc.unshare(new) == 0
      a, b = socket.socketpair(); a.send(b'x' * 10000)
      """)
    let held = buffers([holder.pid])
    #expect(held.hidden == 2)
    #expect(held.perProcess[0].other == 0)
  }

  @Test func objectsOfTheKernel() throws {
    func objects(_ holder: Holder) -> KernelMemory.Objects {
      let files = Descriptors.count([.init(pid: holder.pid) { [] }], outside: []).perProcess[0]
        .files
      return KernelMemory.count(
        [holder.pid], files: [files], Holdings.of([.init(pid: holder.pid) { [] }], outside: []))[0]
    }
    let idle = objects(try Holder(""))
    let busy = objects(
      try Holder(
        """
        import socket, tempfile, threading
        s = [socket.socket() for _ in range(3)] + [socket.socket(socket.AF_UNIX) for _ in range(4)]
        p = [os.pipe() for _ in range(5)]
        for _ in range(6): threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        t = tempfile.TemporaryDirectory()
        os.makedirs(t.name + '/a/b'); f = open(t.name + '/a/b/c', 'w'); g = open(t.name + '/a/b/c')
        import atexit; atexit.register(lambda: (sys.stdout.flush(), t.cleanup(), os._exit(0)))
        """))
    #expect(busy.tasks - idle.tasks == 6)
    #expect(busy.processes == 1 && idle.processes == 1)
    #expect(busy.tcpSockets - idle.tcpSockets == 3)
    #expect(busy.otherSockets - idle.otherSockets == 4)
    #expect(busy.pipes - idle.pipes == 5)
    #expect(busy.files - idle.files == 3 + 4 + 10 + 2)
    #expect(busy.mappings - idle.mappings >= 6, "a stack each")
    #expect(busy.pageTables >= idle.pageTables)
    // The directory, a, b and c, once each, and its modules: names that are open twice are one
    // name.
    #expect(busy.names - idle.names >= 4)
    let sizes = KernelMemory.Sizes.here
    #expect(
      busy.bytes(sizes) - idle.bytes(sizes) >= 6 * sizes.task + 3 * sizes.tcp + 4 * sizes.socket + 5
        * sizes.pipe)
    #expect(busy.bytes(sizes) > busy.names(sizes))
  }

  /// This kernel's figures, where they may be read, are of the order of mainline's: a field that
  /// was misread would not be.
  @Test func sizesOfObjects() throws {
    let (here, mainline) = (KernelMemory.Sizes.here, KernelMemory.Sizes.mainline)
    #expect(
      here.isMeasured
        == (access("/proc/slabinfo", R_OK) == 0 && Procfs.read("/proc/slabinfo") != nil))
    for size in [
      \KernelMemory.Sizes.task, \.process, \.mapping, \.file, \.tcp, \.socket, \.pipe, \.dentry,
      \.inode,
    ] {
      #expect(mainline[keyPath: size] > 0)
      #expect(
        (mainline[keyPath: size] / 2...mainline[keyPath: size] * 2).contains(here[keyPath: size]))
    }
  }

  @Test func badnessIsReadAndRaised() throws {
    let holder = try Holder("")
    let own = try #require(OomScore.read(holder.pid))
    #expect(OomScore.write(holder.pid, own + 7))
    #expect(OomScore.read(holder.pid) == own + 7)
    #expect(!OomScore.write(holder.pid, OomScore.most + 1))
    #expect(OomScore.read(-1) == nil)
    #expect(!OomScore.write(-1, 0))
  }
}
