import Beancounters
import Testing

@testable import Command

func run(_ arguments: String...) throws -> Options {
  guard case .run(let options) = try parseOptions(arguments) else {
    throw UsageError("not a run: \(arguments)")
  }
  return options
}

func message(_ arguments: String...) -> String {
  do {
    return "no error: \(try parseOptions(arguments))"
  } catch {
    return error.message
  }
}

/// Serialized, for getopt_long is not reentrant; whatever parses belongs in here.
@Suite(.serialized) enum Parsing {
  @Suite struct Commands {
    @Test("COMMAND keeps its own options, and -- ends ours")
    func command() throws {
      let plain = try run("-q", "make", "-v", "--numfile", "3", "--")
      #expect(plain.command == ["make", "-v", "--numfile", "3", "--"])
      #expect(plain.commandStart == 1)
      #expect(plain.quiet && !plain.verbose && plain.bounds.isEmpty)
      let dashed = try run("--", "-x", "y")
      #expect(dashed.command == ["-x", "y"])
      #expect(dashed.commandStart == 1)
      #expect(try run("-").command == ["-"])
    }

    @Test(
      "without COMMAND there is nothing to run",
      arguments: [[], ["-q"], ["--"], ["--numfile", "100"]])
    func missing(_ arguments: [String]) {
      let error = #expect(throws: UsageError.self) { try parseOptions(arguments) }
      #expect(
        error?.message
          == "no COMMAND given; accepted: bcrun [options] [--] COMMAND [ARG…], see bcrun --help")
    }

    @Test func helpAndVersion() throws {
      for arguments in [["-h"], ["--help", "true"], ["-qh", "--nonsense"]] {
        guard case .help = try parseOptions(arguments) else {
          throw UsageError("no help: \(arguments)")
        }
      }
      guard case .version = try parseOptions(["--version"]) else { throw UsageError("no version") }
    }

    @Test("a parse leaves nothing behind for the next")
    func afresh() throws {
      #expect(message("-qz", "true").hasPrefix("unknown option -z"))
      #expect(try run("-v", "true").command == ["true"])
    }
  }

  @Suite struct BoundOptions {
    @Test("every resource has an option", arguments: Resource.allCases)
    func resource(_ resource: Resource) throws {
      let expected = [resource: Bounds(barrier: 100, limit: 120)]
      #expect(try run("--best-effort", "--\(resource.name)", "100:120", "true").bounds == expected)
      #expect(try run("--\(resource.name)=100:120", "--best-effort", "true").bounds == expected)
      #expect(try run("--best-effort", "-l", "\(resource.name)=100:120", "true").bounds == expected)
      #expect(
        try run("--best-effort", "--limit", "\(resource.name)=100:120", "true").bounds == expected)
    }

    @Test("a barrier alone leaves the limit unlimited, and the reverse")
    func alone() throws {
      #expect(try run("--numfile", "100:", "true").bounds[.numfile] == Bounds(barrier: 100))
      #expect(try run("--numfile", ":120", "true").bounds[.numfile] == Bounds(limit: 120))
      #expect(try run("--numfile", "-1", "true").bounds[.numfile] == Bounds())
    }

    @Test("a later option overrides just what it sets")
    func later() throws {
      let bounds = try run(
        "--numfile", "100:120", "-l", "numfile=50:", "-l", "numfile=:max", "true"
      ).bounds
      #expect(bounds == [.numfile: Bounds(barrier: 50, limit: .max)])
    }

    @Test func memory() throws {
      let both = Bounds(barrier: 16384, limit: 20480)
      #expect(
        try run("-m", "80M", "true").bounds[.privvmpages] == Bounds(barrier: 20480, limit: 20480))
      #expect(try run("-m80M", "--memory-reservation=64M", "true").bounds[.privvmpages] == both)
      #expect(
        try run("--memory-reservation", "64M", "--memory", "80M", "true").bounds[.privvmpages]
          == both)
      #expect(
        try run("--memory-reservation", "64M", "true").bounds[.privvmpages]
          == Bounds(barrier: 16384))
      #expect(
        try run("--pids-limit", "7", "true").bounds == [.numproc: Bounds(barrier: 7, limit: 7)])
    }
  }

  @Suite struct OtherOptions {
    @Test func run() throws {
      let options = try CommandTests.run(
        "--name", "web-1", "-e", "A=1", "--env", "B=x=y", "-e", "C=", "-w", "/tmp", "--errno",
        "openvz",
        "--on-server-loss", "allow", "--on-physpages", "reclaim", "true")
      #expect(options.name == "web-1")
      #expect(options.environment == ["A=1", "B=x=y", "C="])
      #expect(options.workdir == "/tmp")
      #expect(options.openvzErrno && options.allowOnServerLoss && options.reclaims)
      let nested = try CommandTests.run(
        "--parent", "site", "--server", "/run/bcd.sock", "--meminfo", "true")
      #expect(nested.parent == "site" && nested.server == "/run/bcd.sock" && nested.meminfo)
      let other = try CommandTests.run(
        "--errno=posix", "--on-server-loss=deny", "--workdir", "x", "true")
      #expect(!other.openvzErrno && !other.allowOnServerLoss && other.workdir == "x")
      #expect(!other.reclaims)
    }

    @Test func report() throws {
      let options = try CommandTests.run(
        "--report=r.json", "--report-format", "json", "-qv", "true")
      #expect(options.reportFile == "r.json")
      #expect(options.format == .json)
      #expect(options.quiet && options.verbose)
      #expect(try CommandTests.run("--report", "true").reportFile == nil)
      #expect(try CommandTests.run("--report-format=kv", "true").format == .kv)
      #expect(
        try CommandTests.run("--report-format=text", "--quiet", "--verbose", "true").format == .text
      )
    }

    @Test func failOn() throws {
      let options = try CommandTests.run(
        "--fail-on", "denial", "--fail-on=barrier", "--fail-on", "denial", "--fail-on", "uncovered",
        "true")
      #expect(options.failOn == [.denial, .barrier, .uncovered])
    }

    @Test func defaults() throws {
      let options = try CommandTests.run("true")
      #expect(options.bounds.isEmpty && options.name == nil && options.environment.isEmpty)
      #expect(options.workdir == nil && options.reportFile == nil && options.format == .text)
      #expect(!options.quiet && !options.verbose && options.failOn.isEmpty && !options.bestEffort)
      #expect(
        options.configFiles.isEmpty && options.parent == nil && options.server == nil
          && !options.meminfo)
    }

    @Test func names() throws {
      let longest = String(repeating: "n", count: 64)
      #expect(try CommandTests.run("--name", longest, "true").name == longest)
      for bad in ["", "a/b", "a\nb", "\u{7f}", "\u{85}", longest + "n"] {
        #expect(
          message("--name", bad, "true").hasSuffix(
            "1 to 64 bytes without slashes and control characters"))
      }
    }
  }

  @Suite struct Messages {
    @Test(
      "values",
      arguments: [
        (
          "--numfile=12K",
          #"--numfile: cannot read "12K"; accepted: BARRIER[:LIMIT], BARRIER: or :LIMIT, each a whole"#
        ),
        (
          "--numfile=-5",
          #"--numfile: "-5" is negative (only -1 is read, as unlimited); accepted: BARRIER[:LIMIT]"#
        ),
        (
          "--numfile=9999999999999999999",
          #"--numfile: "9999999999999999999" is too large (the most is 9223372036"#
        ),
        (
          "--privvmpages=64X",
          #"--privvmpages: cannot read "64X"; accepted: BARRIER[:LIMIT], BARRIER: or :LIMIT, each "#
        ),
        (
          "-m64X",
          #"-m: cannot read "64X"; accepted: a number of pages, a size such as 64M or 1.5G (B K M G T, P for"#
        ),
        (
          "--memory=1:2",
          #"--memory: cannot read "1:2"; accepted: a number of pages, a size such as 64M"#
        ),
        (
          "--memory-reservation=",
          #"--memory-reservation: cannot read ""; accepted: a number of pages"#
        ),
        (
          "--pids-limit=1K",
          #"--pids-limit: cannot read "1K"; accepted: a whole number, or unlimited"#
        ),
        (
          "-lnumfile",
          #"-l: cannot read "numfile"; accepted: RES=BARRIER[:LIMIT], such as numfile=100:120; RES is one"#
        ),
        ("-lnumfile=x", #"-l numfile: cannot read "x"; accepted: BARRIER[:LIMIT]"#),
        (
          "-lnumfiles=1",
          #"-l: no resource "numfiles"; did you mean numfile? accepted: RES=BARRIER[:LIMIT]"#
        ),
        ("-lqwertyuiop=1", #"-l: no resource "qwertyuiop"; accepted: RES=BARRIER[:LIMIT]"#),
        ("--env=A", #"--env: cannot read "A"; accepted: K=V, with K not empty"#),
        ("-e=A", #"-e: cannot read "=A"; accepted: K=V, with K not empty"#),
        ("--workdir=", #"--workdir: cannot read ""; accepted: a directory"#),
        (
          "--report=",
          #"--report: cannot read ""; accepted: a file, as --report=FILE, or none for stderr"#
        ),
        ("--report-format=xml", #"--report-format: cannot read "xml"; accepted: text, json or kv"#),
        (
          "--fail-on=never",
          #"--fail-on: cannot read "never"; accepted: denial, barrier or uncovered"#
        ),
        ("--on-server-loss=no", #"--on-server-loss: cannot read "no"; accepted: deny or allow"#),
        (
          "--on-physpages=swap",
          #"--on-physpages: cannot read "swap"; accepted: refuse or reclaim"#
        ),
        ("--errno=Posix", #"--errno: cannot read "Posix"; accepted: posix or openvz"#),
        ("--parent=a/b", #"--parent: cannot read "a/b"; accepted: 1 to 64 bytes without slashes"#),
        (
          "--config=",
          #"--config: cannot read ""; accepted: a file: an OpenVZ container configuration or TOML"#
        ),
        ("--server=", #"--server: cannot read ""; accepted: the socket of a running bcd"#),
        (
          "--profile=basics",
          #"--profile: no profile "basics"; did you mean basic? accepted: basic, light, vswap-256m"#
        ),
        ("--profile=", #"--profile: no profile ""; accepted: basic, light, vswap-256m"#),
        ("--name=a\u{1b}[2J", #"--name: cannot read "a\u{1b}[2J"; accepted: 1 to 64 bytes"#),
      ])
    func value(_ argument: String, _ expected: String) {
      #expect(message(argument, "true").hasPrefix(expected))
    }

    @Test(
      "options",
      arguments: [
        (
          "--numfiles=1",
          "unknown option --numfiles; did you mean --numfile? bcrun --help lists the accepted ones"
        ),
        (
          "--NUMFILE=1",
          "unknown option --NUMFILE; did you mean --numfile? bcrun --help lists the accepted ones"
        ),
        ("--xyzzy", "unknown option --xyzzy; bcrun --help lists the accepted ones"),
        ("-z", "unknown option -z; bcrun --help lists the accepted ones"),
        ("-qz", "unknown option -z; bcrun --help lists the accepted ones"),
        (
          "-numfile",
          "unknown option -numfile; did you mean --numfile? bcrun --help lists the accepted ones"
        ),
        ("-é", "unknown option -é; bcrun --help lists the accepted ones"),
        ("--mem=1", "--mem may be --memory or --memory-reservation or --meminfo; write it out"),
        ("--meminfo=1", "--meminfo takes no value; see bcrun --help"),
        ("--quiet=1", "--quiet takes no value; see bcrun --help"),
      ])
    func option(_ argument: String, _ expected: String) {
      #expect(message(argument, "true") == expected)
    }

    @Test(
      "a value that is missing",
      arguments: LongOption.all.filter { $0.value == .required }.map(\.name))
    func missing(_ name: String) throws {
      let option = try #require(LongOption.all.first { $0.name == name })
      #expect(message("--" + name) == "--\(name) needs a value; accepted: \(option.accepted)")
      if let short = option.short {
        #expect(message("-\(short)") == "-\(short) needs a value; accepted: \(option.accepted)")
      }
    }
  }
}

@Suite struct Help {
  @Test("help names every option") func complete() {
    for option in LongOption.all {
      #expect(helpText.contains("--\(option.name)"), "\(option.name)")
      if let short = option.short { #expect(helpText.contains("-\(short), --\(option.name)")) }
    }
  }

  @Test("help fits 80 columns") func width() {
    for line in helpText.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    #expect(helpText.hasSuffix("\n") && !helpText.hasSuffix("\n\n"))
  }

  @Test("help tells what is enforced") func enforced() throws {
    let parts = helpText.split(separator: "Known, but not enforced")
    try #require(parts.count == 2)
    for resource in Resource.allCases {
      #expect(
        parts[1].contains("--\(resource.name)") == !Resource.enforced.contains(resource),
        "\(resource)")
    }
  }
}
