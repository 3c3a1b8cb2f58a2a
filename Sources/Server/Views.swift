internal import Beancounters
internal import CLinux
internal import Command
internal import Recount
internal import Wire

/// The files of /proc that a member finds: those that OpenVZ kernels have, about its own
/// beancounter alone, and with `--meminfo` /proc/meminfo. Each is a snapshot of the moment it is
/// opened.
enum View {
  case userBeancounters, resources, ofOne, vmaux, meminfo
  /// May be passed through, not listed.
  case directory

  /// By its path below /proc; nil where a member of beancounter `id` has no such file. Other ids
  /// are not there at all, as other containers' were not.
  init?(path: String, id: Int) {
    var words = path.split(separator: "/", omittingEmptySubsequences: false)[...]
    if words.count > 1, words.last == "" { words.removeLast() }
    switch words {
    case ["user_beancounters"]: self = .userBeancounters
    case ["meminfo"]: self = .meminfo
    case ["bc", "resources"]: self = .resources
    case ["bc"], ["bc", "\(id)"]: self = .directory
    case ["bc", "\(id)", "resources"]: self = .ofOne
    case ["bc", "\(id)", "vmaux"]: self = .vmaux
    default: return nil
    }
  }
}

extension Accounting {
  /// Answers BC_VIEW: `error` is 0, or ENOENT, or EISDIR, or ENOMEM. With `opens`, a descriptor of
  /// the text comes back, else −1.
  func view(_ path: String, for pid: Int32, opens: Bool, _ answer: inout bc_answer) -> Int32 {
    guard let view = View(path: path, id: id), view != .meminfo || settings.meminfo else {
      answer.error = ENOENT
      return -1
    }
    if view == .meminfo {
      let memory = memoryShown()
      answer.memory = (memory.all * 1024, memory.left * 1024)
    }
    guard opens else { return -1 }
    guard view != .directory else {
      answer.error = EISDIR
      return -1
    }
    members[pid]?.isViewing = true
    defer { members[pid]?.isViewing = false }
    let file = host.views.file(text(view), named: "/proc/" + path)
    if file < 0 { answer.error = ENOMEM }
    return file
  }

  private func text(_ view: View) -> String {
    switch view {
    case .userBeancounters: return UserBeancounters.text([(id, rows(recount: true))])
    case .resources: return UserBeancounters.resources([(id, rows(recount: true))])
    case .ofOne: return UserBeancounters.ofOne(rows(recount: true))
    case .vmaux: return vmaux()
    case .meminfo:
      let memory = memoryShown()
      return MemInfo.text(of: Procfs.meminfo() ?? "", all: memory.all, left: memory.left)
    case .directory: return ""
    }
  }

  /// The kernel's figures, of 2.6.18: `rss` counts a page once for each member that has it, the
  /// kernel once for the beancounter; `tmpfs_respages` no more than was charged to shmpages. What
  /// is private and neither resident nor swapped is unused. Pages swapped in and unmapped so far
  /// cannot be seen, and are 0.
  private func vmaux() -> String {
    let resident = subtree.flatMap(\.members.values).filter { !$0.isZombie }.compactMap {
      Procfs.resident($0.pid)
    }
    func sum(_ part: (Procfs.Resident) -> Int64) -> Int64 { resident.reduce(0) { $0 + part($1) } }
    let private_ = sum(\.anonymous), swapped = sum(\.swapped)
    return UserBeancounters.vmaux(
      unusedPrivvmpages: max(0, observeMemory() - private_ - swapped),
      tmpfsRespages: min(sum(\.shared), heldNow()[.shmpages] ?? 0), swapPages: swapped,
      rss: private_ + sum(\.file),
      swapin: 0, unmap: 0)
  }

  /// Memory as `--meminfo` shows it, in kB: the smaller of the bound and the machine, and how much
  /// of it may still be had.
  private func memoryShown() -> (all: Int64, left: Int64) {
    let machine = Accounting.machinePages * 4
    let bounded = upwards.filter {
      $0.ledger[.privvmpages].bounds.ceiling(.hard) != Bounds.unlimited
    }
    let all = bounded.reduce(machine) { min($0, $1.ledger[.privvmpages].bounds.ceiling(.hard) * 4) }
    let left = bounded.reduce(
      min(all, MemInfo.value("MemAvailable", in: Procfs.meminfo() ?? "") ?? all)
    ) {
      min($0, max(0, $1.ledger[.privvmpages].bounds.ceiling(.hard) - $1.observeMemory()) * 4)
    }
    return (all, left)
  }
}

/// /proc/meminfo in the lines of the machine's own (fs/proc/meminfo.c): a name, and a number that
/// ends in column 24.
enum MemInfo {
  /// kB, or a count, of one line.
  static func value(_ name: String, in text: String) -> Int64? {
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(name + ":") }) else {
      return nil
    }
    return Int64(line.dropFirst(name.utf8.count + 1).split(separator: " ").first ?? "")
  }

  /// Of memory that a bound counts by its length, only two figures are known: all, and what is
  /// left. What is not is committed. Caches are not the beancounter's, and it has no swap of its
  /// own (OpenVZ showed none either).
  static func text(of machine: String, all: Int64, left: Int64) -> String {
    let known = [
      "MemTotal": all, "MemFree": left, "MemAvailable": left, "CommitLimit": all,
      "Committed_AS": all - left,
    ]
    return machine.split(separator: "\n").map { line in
      let name = String(line.prefix { $0 != ":" })
      if machines.contains(name) { return line + "\n" }
      let digits = String(known[name] ?? 0)
      let start = name + ":" + String(repeating: " ", count: max(0, 15 - name.utf8.count))
      let blanks = String(repeating: " ", count: max(0, 24 - start.utf8.count - digits.utf8.count))
      return start + blanks + digits + (line.hasSuffix(" kB") ? " kB\n" : "\n")
    }.joined()
  }

  /// Sizes of the machine's that no use of memory moves.
  private static let machines: Set = ["Hugepagesize", "VmallocTotal"]
}

/// Texts in files that nobody can change, and that only a descriptor leads to.
final class ViewFiles {
  /// Of those handed out, the latest: so that members' are not taken for shared memory that they
  /// made.
  private(set) var inodes: Set<UInt64> = []
  private var order: [UInt64] = []
  private var next = 0
  /// A process that keeps more views open than this has the oldest counted in shmpages.
  private static let remembered = 4096

  /// A sealed memfd, open for reading only, mode 0400: writes fail with EBADF. −1 where the system
  /// has no more to give. The descriptor is the caller's. By its name the shim knows it again,
  /// where a program asks fstat(2) what it has.
  func file(_ text: String, named path: String) -> Int32 {
    let whole = memfd_create(path, UInt32(MFD_CLOEXEC) | UInt32(MFD_ALLOW_SEALING))
    guard whole >= 0 else { return -1 }
    defer { close(whole) }
    let bytes = Array(text.utf8)
    let seals = Int32(F_SEAL_WRITE) | Int32(F_SEAL_SHRINK) | Int32(F_SEAL_GROW) | Int32(F_SEAL_SEAL)
    guard write(whole, bytes, bytes.count) == bytes.count, fchmod(whole, 0o400) == 0,
      clinux_seal(whole, seals) == 0
    else { return -1 }
    var info = CLinux.stat()
    if clinux_fstat(whole, &info) == 0 { remember(UInt64(info.st_ino)) }
    return clinux_open("/proc/self/fd/\(whole)", O_RDONLY | O_CLOEXEC)
  }

  private func remember(_ inode: UInt64) {
    inodes.insert(inode)
    if order.count < ViewFiles.remembered {
      order.append(inode)
    } else {
      inodes.remove(order[next])
      order[next] = inode
      next = (next + 1) % order.count
    }
  }
}
