internal import Beancounters
internal import CLinux
internal import Recount
internal import Wire

/// Children that their parents have noted in their pages: taken into the books before anything
/// rests on how many there are.
extension Accounting {
  func takeNotes() {
    for one in subtree { for pid in Array(one.members.keys) { one.takeNotes(of: pid) } }
  }

  /// Before a maximum rests on it: children that are noted are in, those that have been reaped are
  /// out.
  func settleTasks() {
    guard !host.isSettling else { return }
    host.isSettling = true
    defer { host.isSettling = false }
    root.takeNotes()
    for one in root.subtree {
      for pid in Array(one.members.keys) where kill(pid, 0) != 0 && clinux_errno() == ESRCH {
        one.ended(pid)
      }
    }
  }

  func takeNotes(of pid: Int32) {
    guard let page = members[pid]?.page else { return }
    // Before the notes: a child is noted first and no longer under way then.
    let booked = bc_load32(bc_page_forking(page))
    let early = members[pid].map { isForking($0) } == true ? [] : members[pid]?.ahead ?? []
    if let member = members[pid], !host.isSettling {
      observePeak(member, .numproc, grantedBefore: ledger.granted(member.slot, .numproc))
    }
    for i in 0..<UInt32(BC_NOTES) {
      guard let page = members[pid]?.page else { return }
      let note = bc_load32(bc_page_note(page, i))
      guard note != BC_NOTE_FREE.rawValue, note != BC_NOTE_WRITING.rawValue else { continue }
      var path = bc_page_note_path(page, i)
      let text = withUnsafePointer(to: &path) { String(cString: bc_note_path_text($0)) }
      let isBooked = bc_page_born(page, i)
      // Where the parent was quicker, it has reaped the child and has the unit back.
      guard bc_cas32(bc_page_note(page, i), note, BC_NOTE_FREE.rawValue) else { continue }
      noted(pid, child: note, path: text.isEmpty ? nil : text, isBooked: isBooked)
    }
    // Nobody forks, and no note was for them: whoever made them did not charge for them, or has
    // reaped them.
    for child in early where members[pid]?.ahead.contains(child) == true { leaveParent(pid, child) }
    let forking = min(Int64(max(0, Int(booked) - (members[pid]?.ahead.count ?? 0))), 1 << 16)
    members[pid]?.pendingForks = forking
    lookAtForks(pid)
    settleLent(pid)
  }

  /// A note is the word of a member about another process. One of its own is a child of a member,
  /// or has the token in its environment; anybody else's stays out, and so does this very process.
  private func isOurs(_ child: Int32) -> Bool {
    guard child != getpid(), let parent = Procfs.stat(child)?.parent else { return false }
    return host.owner[parent] === self || Procfs.environment(child, "BC_TOKEN") == token.text
  }

  /// The parent's unit for a child becomes the child's, or comes back.
  func noted(_ pid: Int32, child: Int32, path: String?, isBooked: Bool) {
    defer { if isBooked { offerBirths(pid) } }
    var child = child
    // A number of another namespace is some other process's here.
    if child == BC_NOTE_SECRET.rawValue || (child > 0 && members[pid]?.isForeign == true) {
      child =
        Procfs.children(pid).first { host.owner[$0] == nil } ?? members[pid]?.ahead.first
        ?? BC_NOTE_OVER.rawValue
    }
    if members[pid]?.ahead.remove(child) != nil, let own = members[child], let parent = members[pid]
    {
      members[child]?.aheadOf = nil
      if isBooked, own.hasSpentBirth { noteSpentBirth(of: pid) } else if isBooked { born(of: pid) }
      members[child]?.hasSpentBirth = false
      // It runs no image.
      if path == nil, own.page == nil, own.execPath == nil { members[child]?.loadingSince = nil }
      if ledger.granted(parent.slot, .numproc) > 0 {
        ledger.transfer(from: parent.slot, to: own.slot, .numproc, 1)
        mirror(pid, .numproc)
        mirror(child, .numproc)
      } else {
        put(own.slot, .numproc, to: ledger.granted(own.slot, .numproc) + 1)
      }
      return
    }
    if isBooked { born(of: pid) }
    if child > 0, host.owner[child] == nil, isOurs(child),
      adopt(child, parent: pid, execPath: path, noted: true)
    {
      return
    }
    // It has been and gone
    if child > 0, host.owner[child] == nil { noteIfUncoverable(child, path) }
    if let slot = members[pid]?.slot, ledger.granted(slot, .numproc) > 0 {
      giveBack(slot, .numproc, 1)
      mirror(pid, .numproc)
    }
  }

  /// Tasks that are charged to a member itself, of so many that it has: none when it has gone.
  func ownTasks(_ pid: Int32, _ tasks: Int64) -> Int64 {
    max(0, tasks - (members[pid]?.aheadOf == nil ? 0 : 1))
  }

  /// A child that joined ahead has a unit of its own from now on.
  private func leaveParent(_ parent: Int32, _ child: Int32) {
    members[parent]?.ahead.remove(child)
    guard let member = members[child] else { return }
    members[child]?.aheadOf = nil
    if kill(child, 0) != 0, clinux_errno() == ESRCH { return ended(child) }
    put(member.slot, .numproc, to: ledger.granted(member.slot, .numproc) + 1)
    mirror(child, .numproc)
  }

  /// What a parent charged for them goes with it.
  func leaveAhead(_ parent: Int32) {
    for child in members[parent]?.ahead ?? [] { leaveParent(parent, child) }
  }

  /// An image that has come to run and said nothing: what the last one charged is not its own.
  func settleImage(_ pid: Int32) {
    if let member = members[pid], leased, member.page == nil, member.execPath != nil,
      !isLoading(member), members[pid]?.isLoaded == true
    {
      members[pid]?.execPath = nil
      members[pid]?.coverage = .joined
    }
    guard let member = members[pid], let path = member.execPath, !member.isZombie,
      member.page != nil,
      !Procfs.maps(pid, "/memfd:beancounter")
    else { return }
    noteIfUncoverable(pid, path)
    imageStarted(pid)
  }
}
