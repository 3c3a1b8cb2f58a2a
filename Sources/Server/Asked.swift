internal import CLinux
internal import Recount
internal import Wire

/// Who asked for what, for the record of denials.
struct Asked {
  var call: String
  /// A path or a name; empty where the call takes none.
  var detail = ""
  private var numbers: (Int64, Int64, Int64)?
  var thread: Int32

  init(call: String, thread: Int32) {
    self.call = call
    self.thread = thread
  }

  init(_ request: bc_request) {
    var request = request
    call = withUnsafePointer(to: &request) { String(cString: bc_request_call($0)) }
    thread = request.thread
    if Int32(request.flags) & Int32(BC_FLAG_NUMBERS) != 0 {
      numbers = withUnsafePointer(to: &request) { bc_request_numbers($0).at }
    } else {
      detail = withUnsafePointer(to: &request) { String(cString: bc_request_detail($0)) }
    }
  }

  /// Its other arguments in words, while the process waits: what its descriptors are is looked up.
  /// Empty where a call has none, or only what its frames say better.
  func arguments(of pid: Int32) -> String {
    guard let (a, b, c) = numbers else { return "" }
    switch call {
    case "malloc", "calloc", "realloc", "reallocarray", "memalign", "posix_memalign",
      "aligned_alloc", "valloc", "pvalloc",
      "sbrk", "__sbrk":
      return "\(a)"
    case "mmap", "mmap64", "mprotect", "pkey_mprotect", "mlock", "mlock2":
      return "\(address(a)), \(b)"
    case "mremap": return "\(address(a)), \(b), \(c)"
    case "brk": return address(a)
    case "pthread_create", "thrd_create": return a > 0 ? "stack of \(a)" : ""
    case "mlockall": return "\(b)"
    case "socket", "socketpair": return "\(name(a, Asked.domains, "domain")), \(type(b))"
    case "accept", "accept4", "pidfd_getfd": return file(pid, a)
    case "flock": return "\(file(pid, a)), \(lock(b))"
    case "fcntl", "fcntl64", "__fcntl", "lockf", "lockf64": return "\(file(pid, a)), \(b), \(c)"
    case "ftruncate", "ftruncate64", "fallocate", "fallocate64", "posix_fallocate",
      "posix_fallocate64":
      return "\(file(pid, a)), \(b)"
    case "shmget": return "\(a == 0 ? "IPC_PRIVATE" : "\(a)"), \(b)"
    case "shmctl": return "\(a), SHM_LOCK of \(b)"
    case "sigqueue": return "\(a), \(signal(b))"
    case "pthread_sigqueue", "pidfd_send_signal": return signal(b)
    case "timer_create": return name(a, Asked.clocks, "clock")
    default: return ""
    }
  }

  private static let domains: [Int64: String] = [
    1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET", 38: "AF_ALG",
    40: "AF_VSOCK",
  ]
  private static let types: [Int64: String] = [
    1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 5: "SOCK_SEQPACKET",
  ]
  private static let clocks: [Int64: String] = [
    0: "CLOCK_REALTIME", 1: "CLOCK_MONOTONIC", 2: "CLOCK_PROCESS_CPUTIME_ID",
    3: "CLOCK_THREAD_CPUTIME_ID", 7: "CLOCK_BOOTTIME",
  ]

  private func name(_ number: Int64, _ names: [Int64: String], _ word: String) -> String {
    names[number] ?? "\(word) \(number)"
  }

  private func address(_ address: Int64) -> String {
    address == 0 ? "NULL" : "0x" + String(UInt64(bitPattern: address), radix: 16)
  }

  /// Without the flags that only say how the descriptor is made (SOCK_CLOEXEC, SOCK_NONBLOCK).
  private func type(_ type: Int64) -> String { name(type & 0xf, Asked.types, "type") }

  private func lock(_ operation: Int64) -> String {
    (operation & 1 != 0 ? "LOCK_SH" : "LOCK_EX") + (operation & 4 != 0 ? "|LOCK_NB" : "")
  }

  private func signal(_ number: Int64) -> String {
    guard let name = Int32(exactly: number).flatMap({ sigabbrev_np($0) }) else {
      return "signal \(number)"
    }
    return "SIG" + String(cString: name)
  }

  /// `3 /var/lock/x`, or where it listens: `3 tcp 127.0.0.1:80`.
  private func file(_ pid: Int32, _ fd: Int64) -> String {
    guard let number = Int32(exactly: fd), let what = Descriptors.name(pid, number) else {
      return "\(fd)"
    }
    var sockets = SocketNames(seenBy: pid)
    return "\(fd) \(sockets.name(of: what))"
  }
}
