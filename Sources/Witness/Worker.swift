import CWitness
private import CLinux

/// Reads stacks in a process of its own: what it reads may have been forged, so that it, and not
/// the server, would be what breaks. Two threads: one takes witnesses and lets members go on at
/// once, the other unwinds at leisure.
public enum Worker {
  /// How long a member may take to send its witness, in seconds.
  private static let patience = 1.0
  /// The longest text of frames.
  private static let textMost = 128 << 10
  /// The largest message: header and two slices.
  private static let messageMost = MemoryLayout<bc_witness>.size + 2 * Int(BC_WITNESS_SLICE_MOST)

  /// A worker, started: the server's end of its socket, and its process. nil when it cannot be
  /// made.
  ///
  /// Sent a `witness_job` with a member's connection, it answers the eight bytes of its id and the
  /// stack's text (`Frame.text(of:)`): empty when it could not be read; of id 0, what is missing
  /// here for people. Sent one with the text of frames, it answers their text with names.
  public static func start() -> (socket: Int32, process: Int32)? {
    var child: Int32 = 0
    let socket = witness_worker_start(&child)
    guard socket >= 0 else { return nil }
    if child == 0 {
      // The Swift runtime remembers the number of the thread that forked, and by it would say who
      // has its locks; a new thread learns its own.
      var thread = pthread_t()
      if pthread_create(&thread, nil, { _ in Worker.serve() }, nil) == 0 {
        pthread_join(thread, nil)
      }
      _exit(1)
    }
    return (socket, child)
  }

  private static let socket: Int32 = 0

  private static func serve() -> Never {
    let pipe = startUnwinding()
    var waiting: [Waiting] = []
    var goesOn = pipe >= 0
    while goesOn { goesOn = round(&waiting, pipe) }
    _exit(0)
  }

  /// Starts the thread that unwinds; where it takes its jobs from.
  private static func startUnwinding() -> Int32 {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return -1 }
    var thread = pthread_t()
    let error = pthread_create(
      &thread, nil, unwindAll, UnsafeMutableRawPointer(bitPattern: Int(ends[0])))
    return error == 0 ? ends[1] : -1
  }

  private struct Waiting {
    var job: witness_job
    var connection: Int32
    var until: Double
  }

  /// Takes the witnesses that have come, and then what the server asks; false when it asks no more.
  private static func round(_ waiting: inout [Waiting], _ pipe: Int32) -> Bool {
    var fds = [pollfd(fd: socket, events: Int16(POLLIN), revents: 0)]
    fds += waiting.map { pollfd(fd: $0.connection, events: Int16(POLLIN), revents: 0) }
    guard poll(&fds, nfds_t(fds.count), waiting.isEmpty ? -1 : 100) >= 0 else {
      return clinux_errno() == EINTR
    }
    var rest: [Waiting] = []
    for (i, one) in waiting.enumerated() {
      if fds[i + 1].revents == 0, now() < one.until {
        rest.append(one)
      } else {
        take(one, fds[i + 1].revents == 0 ? [] : receive(one.connection)).send(to: pipe)
      }
    }
    waiting = rest
    guard fds[0].revents != 0 else { return true }
    var job = witness_job()
    var connection: Int32 = -1
    var isThere = false
    let text = [UInt8](unsafeUninitializedCapacity: textMost) { room, length in
      isThere = witness_worker_accept(
        socket, &job, &connection, room.baseAddress, room.count, &length)
    }
    guard isThere else { return false }
    if connection >= 0 {
      waiting.append(Waiting(job: job, connection: connection, until: now() + patience))
    } else {
      Job(job, .name(Frame.stack(String(decoding: text, as: UTF8.self)))).send(to: pipe)
    }
    return true
  }

  /// The mappings are read, and the files opened, while it waits; then it goes on.
  private static func take(_ one: Waiting, _ message: [UInt8]) -> Job {
    let maps =
      message.isEmpty
      ? [] : contents(of: "/proc/\(one.job.pid)/maps", most: Unwinder.mapsMost) ?? []
    let mappings = Mapping.parse(maps)
    let files = MappedFiles(pid: one.job.pid, mappings)
    shutdown(one.connection, Int32(SHUT_RDWR))
    close(one.connection)
    return Job(one.job, .unwind(message, mappings, files))
  }

  private static func now() -> Double {
    var t = timespec()
    clock_gettime(CLOCK_MONOTONIC, &t)
    return Double(t.tv_sec) + Double(t.tv_nsec) / 1e9
  }

  private static func receive(_ connection: Int32) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: messageMost) { buffer, count in
      count = max(0, recv(connection, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT)))
    }
  }

  fileprivate static func answer(_ id: UInt64, _ text: String) {
    let bytes = withUnsafeBytes(of: id) { Array($0) } + Array(text.utf8)
    if send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) < 0 { _exit(0) }
  }
}

private func unwindAll(_ pipe: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  if let missing = witness_missing() { Worker.answer(0, String(cString: missing)) }
  let modules = Modules()
  while let job = Job.receive(from: Int32(Int(bitPattern: pipe))) {
    witness_yield_often(true)
    Worker.answer(job.asked.id, Frame.text(of: job.frames(modules)))
    witness_yield_often(false)
  }
  return nil
}

/// From the thread that takes to the thread that unwinds, by its address through a pipe.
private final class Job: Sendable {
  enum Work {
    case unwind([UInt8], [Mapping], MappedFiles)
    case name([Frame])
  }

  let asked: witness_job
  let work: Work

  init(_ asked: witness_job, _ work: Work) { (self.asked, self.work) = (asked, work) }

  /// Empty where they cannot be had.
  func frames(_ modules: Modules) -> [Frame] {
    switch work {
    case .name(let frames): return modules.named(frames, of: asked.pid)
    case .unwind(let message, let mappings, let files):
      let unwinder = try? Unwinder(pid: asked.pid, mappings, files: files, modules: modules)
      return (asked.named != 0 ? unwinder?.frames(message) : unwinder?.stack(message)) ?? []
    }
  }

  func send(to pipe: Int32) {
    var address = UInt(bitPattern: Unmanaged.passRetained(self).toOpaque())
    if write(pipe, &address, MemoryLayout<UInt>.size) != MemoryLayout<UInt>.size { _exit(1) }
  }

  static func receive(from pipe: Int32) -> Job? {
    var address: UInt = 0
    var n: Int
    repeat {
      n = read(pipe, &address, MemoryLayout<UInt>.size)
    } while n < 0 && clinux_errno() == EINTR
    guard n == MemoryLayout<UInt>.size, let at = UnsafeRawPointer(bitPattern: address) else {
      return nil
    }
    return Unmanaged<Job>.fromOpaque(at).takeRetainedValue()
  }
}
