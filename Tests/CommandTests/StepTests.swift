import Beancounters
import Testing

@testable import Command

extension Parsing {
  @Suite struct Steps {
    private func parsed(_ arguments: String..., files: String) throws -> Options {
      guard case .run(var options) = try parseOptions(arguments + ["true"]) else {
        throw UsageError("not a run")
      }
      try options.read(configured: files, source: "bcctl bounds")
      return options
    }

    @Test("files are named in their order") func files() throws {
      #expect(
        try run("--config", "a", "--numfile", "1", "--config=b", "true").configFiles == ["a", "b"])
    }

    @Test("whatever comes later on the command line wins, part by part") func order() throws {
      let file = "# f\nnumfile=50:60\nnumproc=:9\n"
      #expect(
        try parsed("--numfile", "1:2", "--config", "f", files: file).bounds[.numfile]
          == Bounds(barrier: 50, limit: 60))
      #expect(
        try parsed("--config", "f", "--numfile", "1:2", files: file).bounds[.numfile]
          == Bounds(barrier: 1, limit: 2))
      #expect(
        try parsed("--config", "f", "--numfile", ":70", files: file).bounds[.numfile]
          == Bounds(barrier: 50, limit: 70))
      #expect(
        try parsed("--numproc", "5:5", "--config", "f", files: file).bounds[.numproc]
          == Bounds(barrier: 5, limit: 9))
      let two = try parsed(
        "--config", "f", "-l", "numfile=7:", "--config", "g", files: file + "# g\nnumfile=:8\n")
      #expect(two.bounds[.numfile] == Bounds(barrier: 7, limit: 8))
      #expect(two.bounds[.numproc] == Bounds(limit: 9))
    }

    @Test("a profile is a step too") func profile() throws {
      let light = try #require(Profile.light.configured.resolved[.numfile])
      #expect(try run("--numfile", "1", "--profile", "light", "true").bounds[.numfile] == light)
      #expect(
        try run("--profile", "light", "--numfile", "1:", "true").bounds[.numfile]
          == Bounds(barrier: 1, limit: 512))
      #expect(
        try run("--profile", "basic", "--profile", "light", "true").bounds[.numproc]
          == Bounds(barrier: 40, limit: 40))
      #expect(
        try run("--profile", "light", "-m", "64M", "true").bounds[.privvmpages]?.limit == 16384)
    }

    @Test("settings follow the same order") func settings() throws {
      let file =
        "# f\nname=b\nparent=p\nerrno=openvz\non-server-loss=allow\non-physpages=reclaim\n"
      let later = try parsed("--name", "a", "--errno=posix", "--config", "f", files: file)
      #expect(
        later.name == "b" && later.parent == "p" && later.openvzErrno && later.allowOnServerLoss
          && later.reclaims)
      let earlier = try parsed(
        "--config", "f", "--name", "a", "--parent", "q", "--errno=posix", "--on-server-loss=deny",
        files: file)
      #expect(
        earlier.name == "a" && earlier.parent == "q" && !earlier.openvzErrno
          && !earlier.allowOnServerLoss)
    }

    @Test("each file has its block") func count() throws {
      for (answer, count) in [("", 0), ("# f\n# g\n", 2)] {
        let error = #expect(throws: UsageError.self) { try parsed("--config", "f", files: answer) }
        #expect(
          error?.message == "bcctl bounds: bounds of \(count) files came back, and 1 were asked for"
        )
      }
    }
  }

  @Suite struct Enforcement {
    /// A row that this version does not enforce; found, for the list changes.
    private let idle = Resource.allCases.first {
      !Resource.enforced.contains($0) && $0 != .physpages && !isGuarantee($0)
    }!

    private static func isGuarantee(_ resource: Resource) -> Bool {
      [.vmguarpages, .oomguarpages].contains(resource)
    }

    @Test("an option that cannot be enforced is refused, unless --best-effort") func refused()
      throws
    {
      let tail =
        ": this version cannot enforce a bound on \(idle.name), only on \(resourceNames(Resource.enforced)); "
        + "--best-effort runs anyway, without it"
      for (option, arguments) in [
        ("--\(idle.name)", ["--\(idle.name)", "9"]),
        ("-l \(idle.name)", ["-l", "\(idle.name)=:9"]),
        ("--\(idle.name)", ["--profile", "light", "--\(idle.name)", "9:"]),
      ] {
        guard case .run(let options) = try parseOptions(arguments + ["true"]) else {
          throw UsageError("not a run")
        }
        let error = #expect(throws: UsageError.self) { try options.checkEnforced() }
        #expect(error?.message == option + tail)
      }
      #expect(try run("--\(idle.name)", "9", "--best-effort", "true").checkEnforced() == [idle])
      #expect(try run("--\(idle.name)", "unlimited", "true").checkEnforced() == [])
      for resource in Resource.enforced {
        #expect(try run("--\(resource.name)", "9", "true").checkEnforced() == [])
      }
    }

    @Test("rows of a file or a profile are counted and named") func counted() throws {
      let counted = try run("--profile", "basic", "true").checkEnforced()
      let bounded = Profile.basic.configured.resolved.filter {
        !$0.value.isUnlimited && $0.key != .physpages
      }.keys
      #expect(
        counted
          == Resource.allCases.filter { bounded.contains($0) && !Resource.enforced.contains($0) })
      #expect(counted.contains(.kmemsize))
      #expect(
        Options.notEnforced([.kmemsize, .dcachesize])
          == "counted, not enforced: kmemsize, dcachesize")
      #expect(Options.notEnforced([]) == nil)
    }

    @Test("who set the bound last is asked") func last() throws {
      func check(_ arguments: String...) throws -> [Resource] {
        guard case .run(var options) = try parseOptions(arguments + ["true"]) else {
          throw UsageError("not a run")
        }
        try options.read(configured: "# f\n\(idle.name)=5:6\n", source: "test")
        return try options.checkEnforced()
      }
      #expect(try check("--\(idle.name)", "9", "--config", "f") == [idle])
      #expect(throws: UsageError.self) { try check("--config", "f", "--\(idle.name)", "9") }
      #expect(throws: UsageError.self) { try check("--config", "f", "--\(idle.name)", ":9") }
      #expect(try check("--config", "f", "--\(idle.name)", "unlimited") == [])
    }

    @Test(
      "a half from a file does not excuse the other from an option",
      arguments: [("9:", ":6"), (":9", "6:")])
    func halves(_ asked: String, _ file: String) throws {
      guard
        case .run(var options) = try parseOptions([
          "--\(idle.name)", asked, "--config", "f", "true",
        ])
      else { return }
      try options.read(configured: "# f\n\(idle.name)=\(file)\n", source: "test")
      #expect(throws: UsageError.self) { try options.checkEnforced() }
    }

    @Test("0:unlimited of physpages and the limits of guarantees ask for nothing") func nothing()
      throws
    {
      #expect(try run("--physpages", "0:unlimited", "true").checkEnforced() == [])
      #expect(try run("--vmguarpages", ":9", "--oomguarpages", "0:9", "true").checkEnforced() == [])
    }

    @Test("a barrier of physpages alone bounds nothing, enforced or not") func barrier() throws {
      #expect(throws: UsageError.self) { try run("--physpages", "9:", "true").checkEnforced() }
      #expect(try run("--physpages", "9:", "--best-effort", "true").checkEnforced() == [.physpages])
    }
  }
}
