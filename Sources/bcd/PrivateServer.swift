import CLinux
import Command
import Recount
import Server

/// The server in this very process, for as long as the run lasts.
final class PrivateServer: Place {
  private let server: Server
  private let books: Accounting

  init(name: String, settings: Settings, outside: [Int32]) {
    if settings.reclaims, let why = Accounting.reclaimRefusal() { fail("--\(why)") }
    do {
      server = try Server.ofOneRun(shim: Shim.path())
    } catch {
      fail("the accounting server cannot start: \(error)")
    }
    do {
      books = try server.host.create(
        name: name, settings: settings, outside: [Outside(pid: getpid(), fds: outside)])
    } catch {
      server.shutDown()
      fail("--name \(name): \(error.text)")
    }
  }

  var membership: (server: String, token: String, shim: String) {
    (server.path, books.token.text, server.shim)
  }

  func spawn(_ launch: Launch) -> (Int32, Int32) {
    var child: Int32 = 0
    var mask = launch.mask
    var descriptors: UInt64 = 0
    clinux_descriptors(server.descriptorsBefore, &descriptors)
    // With its first lease from the start: there is no moment without one.
    let lease = books.firstLease.map { [$0] }
    let error = launch.withDirectory {
      clinux_spawn(&child, launch.argv, launch.words, &mask, $0, lease)
    }
    clinux_descriptors(descriptors, &descriptors)
    guard error == 0 else { return (error, 0) }
    books.adopt(child, parent: getpid(), execPath: launch.options.command[0])
    return (0, child)
  }

  private var watched = false
  private var isReady = false

  func wait(for fd: Int32, _ ready: () -> Void) {
    if !watched { server.watch(fd) { [unowned self] in isReady = true } }
    watched = true
    server.step()
    guard isReady else { return }
    isReady = false
    ready()
  }

  /// What looks alive gets 50 ms before it counts as outliving COMMAND.
  func settle() {
    var quiet = 0
    for _ in 0..<100 {
      server.step(timeout: 0)
      books.tick()
      if books.memberCount == 0 { return }
      quiet = books.anyoneEnding() ? 0 : quiet + 1
      if quiet > 25 { return }
      server.step(timeout: 2)
    }
    books.leaveZombiesToInit()
  }

  func report(_ options: Options, exit: Report.Exit, seconds: Double, peak: Int) -> (
    [Options.FailOn], String
  ) {
    books.sawResident(peakOfOne: pages(peak))
    if options.isReported { waitForStacks() }
    let made = books.report(command: options.command, exit: exit, seconds: seconds)
    guard options.isReported else { return (made.verdict, "") }
    return (made.verdict, named(made).text(as: options.format, verbose: options.verbose))
  }

  /// `Witnesses` gives up what hangs.
  private func named(_ made: Report) -> Report {
    var named: Report?
    books.name(made) { named = $0 }
    while named == nil { server.step() }
    return named ?? made
  }

  /// ru_maxrss begins with the memory of this process, in which COMMAND was spawned (fs/exec.c
  /// exec_mmap), so a figure below our own says nothing: 0.
  private func pages(_ peak: Int) -> Int64 {
    guard let own = Resident.peak(getpid()) else { return 0 }
    let pages = Int64(peak) * 1024 / Procfs.pageSize
    return pages > own ? pages : 0
  }

  /// Those of denials that came last are still being read. One is read in a millisecond, but the
  /// first has debug information to be found, and the machine may have much else to do. Whatever
  /// hangs is given up by `Witnesses`.
  private func waitForStacks() {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    let last = now.tv_sec + 15
    // By the clock: a step returns at once while some descriptor has more to say.
    while books.stacksUnderWay > 0, now.tv_sec < last {
      server.step(timeout: 10)
      clock_gettime(CLOCK_MONOTONIC, &now)
    }
  }

  func abandon() { server.shutDown() }

  /// Where processes outlive COMMAND, a copy of this one goes on serving them, away from the
  /// terminal, until the last is gone.
  func leave() {
    guard books.liveMembers > 0 else { return server.shutDown() }
    guard clinux_fork() == 0 else { return }
    setsid()
    let null = clinux_open("/dev/null", O_RDWR)
    for fd: Int32 in 0...2 { dup2(null, fd) }
    while books.memberCount > 0 || !books.children.isEmpty { server.step() }
    server.shutDown()
    exit(0)
  }
}
