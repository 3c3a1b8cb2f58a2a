import Foundation
import Glibc
import Testing

/// `bcctl holders … --json`.
private struct Held: Decodable {
  struct Frame: Decodable { var function: String? }
  struct Place: Decodable {
    var amount, error, points: Int
    var frames: [Frame]
  }
  struct Item: Decodable {
    var fd: Int
    var what: String
    var since: String?
  }
  struct Holder: Decodable {
    var pid: Int32
    var amount: Int
    var items: [Item]
    var stacks: [Place]
  }
  var holders: [Holder]
  /// Stacks that are being read still.
  var reading: Int
}

extension RealPrograms {
  @Suite struct Holders {
    let blaming = Blaming()

    /// Every open of the same program, with its stack, as another tool sees it.
    private func traced(_ program: String, rounds: Int) throws -> [String: Int] {
      let trace = "\(blaming.scratch.path)/trace"
      #expect(
        try run([tool("strace"), "-k", "-e", "trace=openat", "-o", trace, program, String(rounds)])
          .code == 0)
      var counts: [String: Int] = [:]
      for name in ["one", "four", "eight"] {
        counts[name] = text(at: trace).split(separator: "\n").count {
          $0.contains("/shares(\(name)+") || $0.contains("/shares(\(name))")
        }
      }
      return counts
    }

    @Test(
      "sampled shares are those of a full trace, within the statistical bound, though the program keeps a rhythm"
    ) func shares() throws {
      let program = try blaming.build(IntegrationTests.program("blame/shares.c"), as: "shares")
      let trace = try traced(program, rounds: 20)
      #expect(trace == ["one": 20, "four": 80, "eight": 160])
      let all = Double(trace.values.reduce(0, +))
      let (server, bcctl, socket) = try blaming.serve()
      defer { server.kill(SIGTERM) }
      mkfifo("\(blaming.scratch.path)/in", 0o600)
      var sums: [String: Double] = [:], variances = sums, points = 0, total = 0.0
      let runs = 6, rounds = 300
      for run in 0..<runs {
        let b = try Child([
          "\(repository)/bcrun", "--server", socket, "--name", "x\(run)", "--numfile", "8000", "--",
          "sh", "-c",
          "exec \(program) \(rounds) < \(blaming.scratch.path)/in",
        ])
        let input = open("\(blaming.scratch.path)/in", O_WRONLY)
        try b.until("ready") { b.output.contains("ready") }
        var held = Held.Holder(pid: 0, amount: 0, items: [], stacks: []), lastChange = Date()
        try b.until("stacks", 10) {
          guard let data = try? bcctl("holders", "x\(run)", "numfile", "--json").data,
            let all = try? JSONDecoder().decode(Held.self, from: data), let one = all.holders.first
          else { return false }
          // A point is its file's once a look has found that still there.
          if one.stacks.map(\.points) != held.stacks.map(\.points) { lastChange = Date() }
          held = one
          return all.reading == 0 && !one.stacks.isEmpty
            && Date().timeIntervalSince(lastChange) > 0.2
        }
        #expect(held.amount == rounds * 13 + 1)  // and the FIFO
        total += Double(held.amount)
        for place in held.stacks {
          points += place.points
          // libc's start and the shell's redirection are no place of the program.
          guard
            let name = place.frames.lazy.compactMap(\.function).first(where: { trace[$0] != nil })
          else { continue }
          sums[name, default: 0] += Double(place.amount)
          variances[name, default: 0] += Double(place.error * place.error)
        }
        close(input)
        #expect(try b.wait().code == 0)
      }
      #expect(points > 50 * runs)
      for (name, count) in trace {
        let truth = total * Double(count) / all,
          deviation = variances[name, default: 0].squareRoot()
        // Five standard deviations: once in a million. Of `one`, the rarest, that is a third of its
        // share, so that a place that always asks, or never, is found out.
        #expect(
          abs(sums[name, default: 0] - truth) < 5 * deviation,
          "\(name): \(sums[name, default: 0]) ± \(deviation), not \(truth)")
        #expect(deviation < truth / 3, "\(name)")
      }
    }

    @Test(
      "a leak in two commands, though others are at work on files all the time; as text, folded, pprof and a page"
    ) func leak() throws {
      let churn = try blaming.build(program("blame/churn.c"), as: "churn")
      let (server, bcctl, socket) = try blaming.serve()
      defer { server.kill(SIGTERM) }
      mkfifo("\(blaming.scratch.path)/in", 0o600)
      let b = try Child([
        "\(repository)/bcrun", "--server", socket, "--name", "x", "--numfile", "15000", "--", "sh",
        "-c",
        "exec \(churn) < \(blaming.scratch.path)/in",
      ])
      let input = open("\(blaming.scratch.path)/in", O_WRONLY)
      try b.until("ready") { b.output.contains("ready") }
      #expect(try bcctl("mark", "x").code == 0)
      #expect(write(input, "2000\n", 5) == 5)
      try b.until("growth") { b.output.contains("grown") }
      var grown = ""
      try b.until("the leak", 20) {
        grown = (try? bcctl("diff", "x").output) ?? ""
        return grown.contains("leaks churn.c:")
      }
      #expect(grown.hasPrefix("numfile: 1 -> 2001\n"), "\(grown)")
      // What works and connects has given all back: whatever it took a new height with is not held.
      #expect(
        !grown.contains(" works churn.c:") && !grown.contains(" connects churn.c:"), "\(grown)")
      let held = try bcctl("holders", "x", "numfile").output
      #expect(held.contains("(estimate)  leaks churn.c:"), "\(held)")
      #expect(held.contains(" 2000 times: /dev/null since 20"), "\(held)")
      #expect(
        try bcctl("diff", "x", "numfile", "--format", "folded").output.contains(";main;leaks "))
      #expect(try bcctl("diff", "x", "numfile", "--format", "html").output.contains("\"leaks\""))
      #expect(
        try !bcctl("diff", "x", "numfile", "--format", "pprof", "-o", "\(blaming.scratch.path)/p")
          .errors.contains("error"))
      #expect(FileManager.default.contents(atPath: "\(blaming.scratch.path)/p")?.isEmpty == false)
      let unclear = try bcctl("diff", "x", "--format", "folded")
      #expect(
        unclear.code == 1 && unclear.errors.contains("bcctl diff x numfile"), "\(unclear.errors)")
      close(input)
      let ended = try b.wait()
      #expect(ended.code == 0)
      #expect(ended.errors.contains("numfile            0      200"), "\(ended.errors)")
    }

    @Test("descriptors by what they are: path, address, peer, and since when") func items() throws {
      let script = try blaming.scratch.write(
        "holds.py",
        """
        import os, socket, sys, time
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        served, _ = listener.accept()
        local = socket.socket(socket.AF_UNIX)
        local.bind(sys.argv[1] + "/local")
        local.listen()
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(sys.argv[1] + "/local")
        datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        datagrams.bind(("::1", 0))
        file = open("/etc/passwd")
        print(port, client.getsockname()[1], datagrams.getsockname()[1], file.fileno(), flush=True)
        sys.stdin.readline()
        late = open("/etc/group")
        print("late", flush=True)
        sys.stdin.readline()
        """)
      let (server, bcctl, socket) = try blaming.serve()
      defer { server.kill(SIGTERM) }
      mkfifo("\(blaming.scratch.path)/in", 0o600)
      let b = try Child([
        "\(repository)/bcrun", "--server", socket, "--name", "x", "--numfile", "1000", "--", "sh",
        "-c",
        "exec python3 \(script) \(blaming.scratch.path) < \(blaming.scratch.path)/in",
      ])
      let began = Date()
      let input = open("\(blaming.scratch.path)/in", O_WRONLY)
      try b.until("ready") { b.output.contains("\n") }
      let words = b.output.split(whereSeparator: \.isWhitespace).map(String.init)
      let (port, client, datagrams, file) = (words[0], words[1], words[2], Int(words[3]))
      func items() throws -> [Held.Item] {
        let held = try JSONDecoder().decode(
          Held.self, from: bcctl("holders", "x", "numfile", "--json").data)
        return try #require(held.holders.first { $0.pid == b.pid || $0.amount > 5 }).items
      }
      let first = try items()
      let names = first.map(\.what)
      #expect(names.contains("tcp 127.0.0.1:\(port) (listening)"), "\(names)")
      #expect(names.contains("tcp 127.0.0.1:\(client) -> 127.0.0.1:\(port)"), "\(names)")
      #expect(names.contains("tcp 127.0.0.1:\(port) -> 127.0.0.1:\(client)"), "\(names)")
      #expect(names.contains("unix \(blaming.scratch.path)/local (listening)"), "\(names)")
      #expect(names.contains { $0.hasPrefix("unix -> ") }, "\(names)")
      #expect(names.contains("udp [::1]:\(datagrams)"), "\(names)")
      #expect(first.first { $0.fd == file }?.what == "/etc/passwd")
      let format = ISO8601DateFormatter()
      func since(_ items: [Held.Item], _ what: String) throws -> Date {
        let text = try #require(items.first { $0.what == what }?.since)
        return try #require(format.date(from: text))
      }
      #expect(try since(first, "/etc/passwd") >= began.addingTimeInterval(-1))
      usleep(2_200_000)
      #expect(write(input, "\n", 1) == 1)
      try b.until("late") { b.output.contains("late") }
      let second = try items()
      #expect(try since(second, "/etc/passwd") == since(first, "/etc/passwd"))
      #expect(try since(second, "/etc/group").timeIntervalSince(since(second, "/etc/passwd")) >= 2)
      #expect(try bcctl("holders", "x", "numfile").output.contains("/etc/passwd since 20"))
      close(input)
      #expect(try b.wait().code == 0)
    }
  }
}
