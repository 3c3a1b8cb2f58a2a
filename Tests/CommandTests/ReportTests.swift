import Beancounters
import Foundation
import Testing
import Witness

@testable import Command

/// The example of the contract.
func example() -> Report {
  var work = Report.Work()
  work.requests = 17
  work.recalls = 1
  work.recounts = 1
  work.toSlow = 1
  work.recalling = 2500
  work.recounting = 3500
  return Report(
    id: 1, name: "web-1", command: ["/usr/bin/worker", "--dir", "/var/my cache"],
    exit: .init(code: 0), seconds: 12.4,
    rows: [
      .init(
        resource: .numfile, held: 0, maxheld: 100, bounds: Bounds(barrier: 100, limit: 120),
        failcnt: 3,
        status: "exact"),
      .init(
        resource: .privvmpages, held: 0, maxheld: 15616,
        bounds: Bounds(barrier: 16384, limit: 20480), failcnt: 0,
        status: "exact"),
      .init(
        resource: .numproc, held: 0, maxheld: 0, bounds: Bounds(), failcnt: 0, status: "estimate"),
    ],
    denials: [
      .init(
        resource: .numfile, count: 3, errno: "ENFILE", pid: 4711, comm: "worker", call: "open",
        detail: "/var/cache/x", amount: 1,
        frames: [
          Frame(
            function: "cache_load", file: "src/cache.c", line: 88, module: "/usr/bin/worker",
            offset: 4096),
          Frame(
            function: "main", file: "src/main.c", line: 20, module: "/usr/bin/worker", offset: 8192),
        ], witnessed: 2)
    ],
    uncovered: [.init(pid: 4712, executable: "/usr/bin/busybox", reason: "static")], remaining: 0,
    server: work)
}

@Suite struct ReportText {
  @Test("the contract's example") func golden() {
    #expect(
      example().text(verbose: false) == """
        bcrun: web-1 exited 0 after 12.4 s; 3 denials
          RESOURCE        HELD   MAXHELD   BARRIER     LIMIT   FAILCNT
          numfile            0       100       100       120         3  <- denied
          privvmpages        0     61.0M     64.0M     80.0M         0
          denied numfile x3 (ENFILE): worker[4711] open("/var/cache/x")  cache_load cache.c:88 < main main.c:20
          uncovered: 1 process (busybox: static)

        """)
  }

  @Test("frames: at most four, none of the C library's start, and something where nothing is known")
  func frames() {
    var report = example()
    func line(_ frames: [Frame]) -> String {
      report.denials[0].frames = frames
      return report.text(verbose: false).split(separator: "\n").first {
        $0.contains("denied numfile x3")
      }
      .flatMap { $0.split(separator: ")", maxSplits: 2).last.map(String.init) } ?? ""
    }
    #expect(line([]).hasSuffix("\"/var/cache/x\""))
    #expect(line([Frame(function: nil)]) == "  [unknown]")
    #expect(line([Frame(function: "f", module: "/lib/libx.so", offset: 16)]) == "  f libx.so+0x10")
    #expect(line([Frame(function: nil, module: "/lib/libx.so", offset: 16)]) == "  libx.so+0x10")
    #expect(
      line((1...6).map { (n: Int) in Frame(function: "f\(n)", file: "a.c", line: n) })
        == "  f1 a.c:1 < f2 a.c:2 < f3 a.c:3 < f4 a.c:4")
    let start = [
      Frame(function: "__libc_start_call_main", file: "s.c", line: 1), Frame(function: "_start"),
    ]
    #expect(line([Frame(function: "main", file: "a.c", line: 1)] + start) == "  main a.c:1")
    #expect(!line([Frame(function: "f\u{1b}[31m", file: "a\u{1b}.c")]).contains("\u{1b}"))
    #expect(line([Frame(function: String(repeating: "x", count: 5000), file: "a.c")]).count < 80)
  }

  @Test("injected denials are told apart, and counted apart") func injected() {
    var report = example()
    report.denials[0].injected = true
    let text = report.text(verbose: false)
    #expect(text.hasPrefix("bcrun: web-1 exited 0 after 12.4 s; no denials, 3 injected\n"))
    #expect(text.contains("open(\"/var/cache/x\") injected  cache_load"))
    #expect(report.kv().contains("\ndenials=0\n"))
    report.rows = []
    #expect(report.verdict == [.uncovered])
  }

  @Test("-v shows every row, its status and the server's work") func verbose() {
    let text = example().text(verbose: true)
    #expect(
      text.contains("\n  numproc            0         0         -         -         0  estimate\n"))
    #expect(text.hasSuffix("\n  server: 17 requests, 1 recall, 1 recount, 1 to slow, 0 to fast\n"))
  }

  @Test func headline() {
    var report = example()
    report.exit = .init(signal: 9)
    report.denials = []
    report.seconds = 0.04
    #expect(
      report.text(verbose: false).hasPrefix(
        "bcrun: web-1 killed by SIGKILL after 0.0 s; no denials\n"))
    report.exit = .init(code: 3)
    report.denials = [example().denials[0]]
    report.denials[0].count = 1
    #expect(report.text(verbose: false).hasPrefix("bcrun: web-1 exited 3 after 0.0 s; 1 denial\n"))
    report.denials[0].count = .max
    report.denials.append(report.denials[0])
    #expect(report.denied == .max)
    #expect(signalName(40) == "signal 40")
  }

  @Test("use that matters is shown without a bound") func used() {
    var report = example()
    report.rows = [
      .init(resource: .numproc, held: 1, maxheld: 4, bounds: Bounds(), failcnt: 0, status: "exact"),
      .init(resource: .numpty, held: 0, maxheld: 0, bounds: Bounds(), failcnt: 0, status: "exact"),
      .init(
        resource: .numsiginfo, held: 0, maxheld: 0, bounds: Bounds(limit: 5), failcnt: 0,
        status: "exact"),
    ]
    let text = report.text(verbose: false)
    #expect(text.contains("\n  numproc            1         4         -         -         0\n"))
    #expect(text.contains("\n  numsiginfo         0         0         -         5         0\n"))
    #expect(!text.contains("numpty"))
  }

  @Test("at most 20 lines") func folded() {
    var report = example()
    report.denials = Array(repeating: report.denials[0], count: 15)
    #expect(lines(report.text(verbose: false)).count == 20)
    #expect(!report.text(verbose: false).contains("more"))
    report.remaining = 2
    let folded = lines(report.text(verbose: false))
    #expect(folded.count == 20)
    #expect(folded.last == "  … 2 more (-v shows all)")
    #expect(lines(report.text(verbose: true)).count == 23)
  }

  @Test("where there is no room, what was refused and who is uncovered stay") func foldedRows() {
    var report = example()
    report.rows = Resource.allCases.map {
      .init(
        resource: $0, held: 0, maxheld: 0, bounds: Bounds(barrier: 9, limit: 9),
        failcnt: $0 == .numinotify ? 3 : 0, status: "exact")
    }
    let used = report.rows.firstIndex { $0.resource == .numfile }!
    report.rows[used].maxheld = 5
    report.denials = Array(repeating: report.denials[0], count: 4)
    report.remaining = 1
    let folded = lines(report.text(verbose: false))
    #expect(folded.count == 20)
    #expect(
      folded.contains { $0.hasPrefix("  numinotify ") }
        && folded.contains { $0.hasPrefix("  numfile ") })
    #expect(folded.count { $0.hasPrefix("  denied ") } == 4)
    #expect(
      folded.contains { $0.hasPrefix("  uncovered: ") }
        && folded.contains("  still running: 1 process"))
    #expect(folded.last == "  … 11 more (-v shows all)")
    report.denials = Array(repeating: report.denials[0], count: 90)
    let many = lines(report.text(verbose: false))
    #expect(
      many.count == 20 && many.contains { $0.hasPrefix("  numinotify ") }
        && many.contains { $0.hasPrefix("  uncovered: ") })
  }

  @Test func remaining() {
    var report = example()
    report.remaining = 2
    #expect(report.text(verbose: false).hasSuffix("\n  still running: 2 processes\n"))
    report.remaining = 1
    #expect(report.text(verbose: false).hasSuffix("\n  still running: 1 process\n"))
  }

  @Test("uncovered processes of a kind are counted") func uncovered() {
    var report = example()
    report.uncovered += report.uncovered + [.init(pid: 5, executable: "sudo", reason: "setuid")]
    #expect(
      report.text(verbose: false).contains(
        "\n  uncovered: 3 processes (busybox: static x2, sudo: setuid)\n"))
    for name in ["a", "b"] {
      report.uncovered.append(.init(pid: 6, executable: name, reason: "static"))
    }
    #expect(
      report.text(verbose: false).contains("(busybox: static x2, sudo: setuid, a: static, …)"))
  }

  @Test("a program cannot draw on the terminal") func hostile() {
    var report = example()
    report.name = "a\u{1b}[2J"
    report.denials[0].comm = "x\ny"
    report.denials[0].detail = "a\"\u{202e}"
    let text = report.text(verbose: true)
    #expect(!text.contains("\u{1b}") && !text.contains("\u{202e}"))
    #expect(text.contains(#"x\ny[4711] open("a\"\u{202e}")"#))
  }

  @Test func color() {
    #expect(
      example().text(verbose: false, color: true).contains("3  \u{1b}[31m<- denied\u{1b}[0m\n"))
  }

  @Test(
    "amounts for people",
    arguments: [
      (0, .pages, "0"), (1, .pages, "4.0K"), (256, .pages, "1.0M"), (262144, .pages, "1.0G"),
      (15616, .pages, "61.0M"),
      (1000, .bytes, "1000"), (1536, .bytes, "1.5K"), (1_048_575, .bytes, "1.0M"),
      (Int64.max, .bytes, "-"),
      (Int64.max, .items, "-"), (123_456, .items, "123456"), (1 << 60, .pages, "4294967296.0T"),
    ] as [(Int64, Resource.Unit, String)])
  func sizes(_ amount: Int64, _ unit: Resource.Unit, _ expected: String) {
    #expect(human(amount, unit) == expected)
  }

  private func lines(_ text: String) -> [Substring] { text.split(separator: "\n") }
}

@Suite struct ReportData {
  @Test("JSON, to the byte") func golden() {
    #expect(
      example().json()
        == #"{"beancounter":{"id":1,"name":"web-1"},"command":["/usr/bin/worker","--dir","/var/my cache"],"#
        + #""exit":{"code":0,"signal":null},"seconds":12.4,"resources":["#
        + #"{"resource":"numfile","unit":"items","held":0,"maxheld":100,"barrier":100,"limit":120,"failcnt":3,"#
        + #""status":"exact"},"#
        + #"{"resource":"privvmpages","unit":"pages","held":0,"maxheld":15616,"barrier":16384,"limit":20480,"#
        + #""failcnt":0,"status":"exact"},"#
        + #"{"resource":"numproc","unit":"items","held":0,"maxheld":0,"barrier":null,"limit":null,"failcnt":0,"#
        + #""status":"estimate"}],"#
        + #""denials":[{"resource":"numfile","count":3,"errno":"ENFILE","pid":4711,"comm":"worker","call":"open","detail":"/var/cache/x","#
        + #""amount":1,"frames":[{"function":"cache_load","file":"src/cache.c","line":88,"module":"/usr/bin/worker","offset":4096},"#
        + #"{"function":"main","file":"src/main.c","line":20,"module":"/usr/bin/worker","offset":8192}],"witnessed":2,"#
        + #""injected":false,"arguments":"","thread":4711,"threadName":""}],"#
        + #""uncovered":[{"pid":4712,"executable":"/usr/bin/busybox","reason":"static"}],"#
        + #""server":{"requests":17,"recalls":1,"recounts":1,"switches":{"toSlow":1,"toFast":0},"#
        + #""reclaims":{"times":0,"pages":0},"#
        + #""microseconds":{"recalls":2,"recounts":3,"switches":0,"reclaims":0}},"remaining":0}"#
        + "\n"
    )
  }

  @Test("every string survives JSON") func escapes() throws {
    var report = example()
    let words =
      (0..<0x100).compactMap { Unicode.Scalar(UInt32($0)).map { String($0) } } + [
        "\u{1f600}", "\u{2028}", "",
      ]
    report.command = words + [String(decoding: [0x61, 0xff, 0x62], as: UTF8.self)]
    report.name = "\"\\/\n"
    report.exit = .init(signal: 9)
    report.seconds = .infinity
    let text = report.json()
    #expect(text.dropLast().utf8.allSatisfy { $0 >= 0x20 })
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    #expect(object["command"] as? [String] == words + ["a\u{fffd}b"])
    #expect((object["beancounter"] as? [String: Any])?["name"] as? String == "\"\\/\n")
    #expect((object["exit"] as? [String: Any])?["signal"] as? Int == 9)
    #expect((object["exit"] as? [String: Any])?["code"] is NSNull)
  }

  @Test func kv() {
    #expect(
      example().kv().split(separator: "\n").map(String.init) == [
        "beancounter.id=1", "beancounter.name=web-1",
        "command=/usr/bin/worker --dir '/var/my cache'", "exit.code=0",
        "exit.signal=", "seconds=12.4",
        "numfile.unit=items", "numfile.held=0", "numfile.maxheld=100", "numfile.barrier=100",
        "numfile.limit=120",
        "numfile.failcnt=3", "numfile.status=exact",
        "privvmpages.unit=pages", "privvmpages.held=0", "privvmpages.maxheld=15616",
        "privvmpages.barrier=16384",
        "privvmpages.limit=20480", "privvmpages.failcnt=0", "privvmpages.status=exact",
        "numproc.unit=items", "numproc.held=0", "numproc.maxheld=0", "numproc.barrier=unlimited",
        "numproc.limit=unlimited", "numproc.failcnt=0", "numproc.status=estimate",
        "denials=3", "denial.0.resource=numfile", "denial.0.count=3", "denial.0.errno=ENFILE",
        "denial.0.pid=4711",
        "denial.0.comm=worker", "denial.0.call=open", "denial.0.amount=1", "denial.0.injected=0",
        "denial.0.witnessed=2",
        "denial.0.detail=/var/cache/x", "denial.0.arguments=", "denial.0.thread=4711",
        "denial.0.threadName=", "denial.0.frames=2",
        "denial.0.frame.0.function=cache_load", "denial.0.frame.0.file=src/cache.c",
        "denial.0.frame.0.line=88",
        "denial.0.frame.0.module=/usr/bin/worker", "denial.0.frame.0.offset=4096",
        "denial.0.frame.1.function=main", "denial.0.frame.1.file=src/main.c",
        "denial.0.frame.1.line=20",
        "denial.0.frame.1.module=/usr/bin/worker", "denial.0.frame.1.offset=8192",
        "uncovered=1", "uncovered.0.pid=4712", "uncovered.0.executable=/usr/bin/busybox",
        "uncovered.0.reason=static",
        "server.requests=17", "server.recalls=1", "server.recounts=1", "server.switches.toSlow=1",
        "server.switches.toFast=0", "server.reclaims.times=0", "server.reclaims.pages=0",
        "server.microseconds.recalls=2",
        "server.microseconds.recounts=3",
        "server.microseconds.switches=0", "server.microseconds.reclaims=0", "remaining=0",
        "left_open=0",
      ])
  }

  @Test("a kv value is one line") func kvEscapes() {
    var report = example()
    report.name = "a\nb\\c"
    report.command = ["a\nb", "it's", "", "é\u{1}2"]
    let text = report.kv()
    #expect(text.contains("\nbeancounter.name=a\\nb\\\\c\n"))
    #expect(text.contains("\ncommand=$'a\\nb' 'it'\"'\"'s' '' $'\\303\\251\\0012'\n"))
  }

  @Test(
    "bash reads the command back",
    arguments: [["a b", "it's \\ $x `y`", "", "\n\t\u{1}1\u{7f}'\\", "*", "é", "~", "#"]])
  func shell(_ words: [String]) throws {
    let bash = Process()
    bash.executableURL = URL(fileURLWithPath: "/bin/bash")
    bash.arguments = ["-c", "printf '%s\\0' \(shellQuoted(words))"]
    let pipe = Pipe()
    bash.standardOutput = pipe
    try bash.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    bash.waitUntilExit()
    #expect(String(decoding: output, as: UTF8.self) == words.map { $0 + "\0" }.joined())
  }
}
