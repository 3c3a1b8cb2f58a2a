import Foundation
import Glibc
import Recount
import TestSupport
import Testing

private func page(_ first: UInt64, _ count: UInt64, of inode: UInt64 = 1) -> Pages.Run {
  Pages.Run(device: 7, inode: inode, first: first, count: count)
}

/// A file of so many pages, and its inode.
private final class PageFile {
  let path: String
  let fd: Int32
  let inode: UInt64

  init(pages: Int) {
    var template = Array("/tmp/beancounter-pages-XXXXXX".utf8CString)
    fd = mkstemp(&template)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    ftruncate(fd, pages * 4096)
    var info = Glibc.stat()
    fstat(fd, &info)
    inode = UInt64(info.st_ino)
  }

  deinit {
    close(fd)
    unlink(path)
  }

  func map(_ pages: Int, private copy: Bool = false) -> UnsafeMutableRawPointer {
    mmap(nil, pages * 4096, PROT_READ | PROT_WRITE, copy ? MAP_PRIVATE : MAP_SHARED, fd, 0)!
  }

  func runs(in resident: Pages.Resident) -> [String] {
    resident.shared.filter { $0.inode == inode }.map { "\($0.first)+\($0.count)" }
  }
}

private let ways = Pages.best == .scan ? Pages.Way.allCases : [.read]

@Suite(.serialized) struct ResidentPages {
  /// Pages that are written to are mapped one at a time: only reads bring their neighbours along.
  @Test(arguments: ways) func filePagesAreKnownByTheirPlace(way: Pages.Way) throws {
    let file = PageFile(pages: 64)
    let one = file.map(64)
    let other = file.map(32)
    defer {
      munmap(one, 64 * 4096)
      munmap(other, 32 * 4096)
    }
    let before = try #require(Pages.resident(getpid(), by: way))
    #expect(file.runs(in: before) == [])
    for i in [3, 4, 5, 40] { one.storeBytes(of: 1, toByteOffset: i * 4096, as: UInt8.self) }
    for i in [5, 6] { other.storeBytes(of: 1, toByteOffset: i * 4096, as: UInt8.self) }
    let after = try #require(Pages.resident(getpid(), by: way))
    #expect(file.runs(in: after) == ["3+4", "40+1"])
    let came = Pages.changes(from: before.shared, to: after.shared).arrived.filter {
      $0.inode == file.inode
    }
    #expect(came.map(\.first) == [3, 40])
    munmap(one + 40 * 4096, 4096)
    let last = try #require(Pages.resident(getpid(), by: way))
    #expect(
      Pages.changes(from: after.shared, to: last.shared).gone.filter { $0.inode == file.inode }.map(
        \.first) == [
          40
        ])
  }

  @Test(arguments: ways) func copiesOfPrivatePagesAreTheProcesssOwn(way: Pages.Way) throws {
    let file = PageFile(pages: 600)
    let mapped = file.map(600, private: true)
    defer { munmap(mapped, 600 * 4096) }
    let before = try #require(Pages.resident(getpid(), by: way)).own
    for i in 0..<600 { mapped.storeBytes(of: 1, toByteOffset: i * 4096, as: UInt8.self) }
    let after = try #require(Pages.resident(getpid(), by: way))
    #expect(file.runs(in: after) == [])
    // Other tests and the allocator run in this process too.
    #expect(after.own >= before + 500)
  }

  /// A program that does nothing, against smaps, which is exact.
  @Test(arguments: ways) func anotherProcessAddsUpToItsRss(way: Pages.Way) throws {
    let process = Process()
    process.executableURL = URL(filePath: "/bin/cat")
    let input = Pipe()
    process.standardInput = input
    process.standardOutput = Pipe()
    try process.run()
    defer {
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
    }
    let pid = process.processIdentifier
    usleep(300_000)  // it has started and waits for input
    let found = try #require(Pages.resident(pid, by: way))
    // One line of maps at a time: [v… are the kernel's.
    var rss: UInt64 = 0
    var counts = false
    let smaps =
      try #require(FileHandle(forReadingAtPath: "/proc/\(pid)/smaps")).readToEnd() ?? Data()
    for line in String(decoding: smaps, as: UTF8.self).split(separator: "\n") {
      let words = line.split(separator: " ")
      if words[0].contains("-") { counts = !(words.last ?? "").hasPrefix("[v") }
      if counts, words[0] == "Rss:" { rss += UInt64(words[1])! / 4 }
    }
    #expect(found.sharedCount + found.own == rss)
    let cheap = try #require(Pages.count(pid))
    #expect(cheap > 0)
  }

  @Test func bothWaysSeeTheSame() throws {
    guard Pages.best == .scan else { return }
    let process = Process()
    process.executableURL = URL(filePath: "/bin/sleep")
    process.arguments = ["60"]
    try process.run()
    defer {
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
    }
    usleep(200_000)
    let scanned = try #require(Pages.resident(process.processIdentifier, by: .scan))
    let read = try #require(Pages.resident(process.processIdentifier, by: .read))
    #expect(scanned.shared == read.shared)
    #expect(!scanned.shared.isEmpty)
    #expect(scanned.own <= read.own)
  }

  @Test func aProcessThatHasGoneHasNone() {
    #expect(Pages.resident(4_194_305) == nil)
    #expect(Pages.count(4_194_305) == nil)
  }
}

@Suite struct PageRuns {
  @Test(arguments: 0..<200) func changesAreWhatASetWouldSay(seed: Int) {
    var generator = Seeded(state: UInt64(seed))
    func random(_ n: UInt64) -> UInt64 { generator.below(n) }
    func some() -> [Pages.Run] {
      var runs: [Pages.Run] = []
      var at: UInt64 = 0
      for inode in 1...3 as ClosedRange<UInt64> {
        at = random(4)
        while at < 40 {
          let count = 1 + random(6)
          runs.append(page(at, count, of: inode))
          at += count + 1 + random(8)
        }
      }
      return runs
    }
    func set(_ runs: [Pages.Run]) -> Set<[UInt64]> {
      Set(runs.flatMap { run in (run.first..<(run.first + run.count)).map { [run.inode, $0] } })
    }
    let old = some(), new = some()
    let (arrived, gone) = Pages.changes(from: old, to: new)
    #expect(set(arrived) == set(new).subtracting(set(old)))
    #expect(set(gone) == set(old).subtracting(set(new)))
    #expect(arrived.reduce(0) { $0 + $1.count } == UInt64(set(arrived).count))
  }
}
