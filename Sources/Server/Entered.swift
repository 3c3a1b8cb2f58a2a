internal import CLinux
internal import Recount
internal import Wire

/// A process that enters brings descriptors with it: whoever opened them pays, or nobody here does.
extension Accounting {
  /// What it has at this moment. Its parent, which is outside, may have some of it too, and keep it
  /// longer.
  func noteBrought(by pid: Int32) {
    if let parent = Procfs.stat(pid)?.parent, host.owner[parent] == nil {
      let fds = Descriptors.open(of: pid).filter { Descriptors.same(pid, parent, $0) }
      outside.removeAll { $0.pid == parent }
      outside.append(Outside(pid: parent, fds: fds))
    }
    var files: [Int32: Descriptors.Identity] = [:]
    for fd in Descriptors.open(of: pid) { files[fd] = Descriptors.identity(pid, fd) }
    outside.removeAll { $0.pid == pid }
    outside.append(Outside(pid: pid, fds: files.keys.sorted(), files: files))
  }

  func forgetBrought(by pid: Int32) { outside.removeAll { $0.pid == pid && $0.files != nil } }

  var outsides: [(pid: Int32, fds: [Int32])] {
    subtree.flatMap { one in one.outside.map { (pid: $0.pid, fds: one.still($0)) } }
  }

  /// A member may have closed what it came with, and opened something else under the number.
  private func still(_ brought: Outside) -> [Int32] {
    guard let files = brought.files else { return brought.fds }
    let page = members[brought.pid]?.pageWithWords
    return brought.fds.filter { fd in
      Descriptors.identity(brought.pid, fd) == files[fd]
        && !(page.map { bc_page_owns($0, fd) } ?? false)
    }
  }
}
