import Foundation
import Glibc
import Testing

extension RealPrograms {
  /// Names are read for whoever asks, when they ask.
  @Suite struct Naming {
    let blaming = Blaming()
    var scratch: Scratch { blaming.scratch }

    /// A command that is refused, and then does something to its own program.
    private func refused(_ then: (String) -> String) throws -> (Outcome, program: String) {
      let places = try blaming.build(program("blame/places.c"), as: "places")
      let outcome = try blaming.blamed(
        ["--numfile", "20"], ["sh", "-c", "\(places) refused 4; \(then(places))"])
      #expect(outcome.ended.output == "refused 4\n")
      return (outcome, places)
    }

    @Test("a program that is gone at the end is named in the report", arguments: ["", "rm"])
    func gone(_ how: String) throws {
      let (outcome, places) = try refused { how.isEmpty ? ":" : "\(how) \($0)" }
      let denials = outcome.report.denials
      #expect(denials.map(\.functions.first) == ["first", "second"])
      #expect(denials.map(\.count) == [2, 2])
      for denial in denials {
        #expect(denial.functions.prefix(2).last == "main")
        #expect(denial.frames[0].module == places)
        #expect(denial.frames[0].file?.hasSuffix("places.c") == true)
      }
    }

    @Test("one that was written over has no names, and none of what it has become")
    func writtenOver() throws {
      let other = try blaming.build(program("blame/churn.c"), as: "churn")
      let (outcome, places) = try refused { "sleep 1; cat \(other) > \($0)" }
      let denials = outcome.report.denials
      #expect(denials.map(\.count) == [2, 2])
      for denial in denials {
        #expect(denial.frames[0].module == places && denial.frames[0].offset > 0)
        #expect(denial.frames.allSatisfy { $0.module != places || $0.function == nil })
        #expect(denial.functions.contains { $0.hasPrefix("__libc_start") })
      }
      #expect(Set(denials.map(\.frames[0].offset)).count == 2)
    }

    @Test("two calls of one function are one place, where names do not tell them apart")
    func sites() throws {
      let sites = try blaming.build(program("blame/sites.c"), [], as: "sites")
      let outcome = try blaming.blamed(["--numfile", "20"], [sites])
      let denials = outcome.report.denials, refused = try outcome.report.row("numfile").failcnt
      #expect(outcome.ended.output == "refused \(refused)\n" && refused >= 8)
      #expect(denials.map(\.count) == [refused] && denials.map(\.witnessed) == [refused])
      #expect(denials[0].functions.prefix(2) == ["take", "main"])
    }

    @Test("holders of a program that was replaced; and when the worker that knew it has died")
    func holders() throws {
      let places = try blaming.build(program("blame/places.c"), as: "places")
      let other = try blaming.build(program("blame/churn.c"), as: "churn")
      let (server, bcctl, socket) = try blaming.serve()
      defer { server.kill(SIGTERM) }
      mkfifo("\(scratch.path)/in", 0o600)
      let b = try Child([
        "\(repository)/bcrun", "--server", socket, "--name", "x", "--numfile", "5000", "--",
        "sh", "-c", "exec \(places) grow < \(scratch.path)/in",
      ])
      let input = open("\(scratch.path)/in", O_WRONLY)
      try b.until("ready") { b.output.contains("ready") }
      try b.until("stacks") {
        (try? bcctl("holders", "x", "numfile", "--json").output.contains(#""reading":0"#)) == true
      }
      #expect(rename(other, places) == 0)
      let held = try bcctl("holders", "x", "numfile").output
      #expect(held.contains("(estimate)  first places.c:"), "\(held)")
      #expect(try run([tool("pkill"), "-KILL", "-P", "\(server.pid)", "bc-witness"]).code == 0)
      let after = try bcctl("holders", "x", "numfile").output
      #expect(after.contains("(estimate)  places+0x"), "\(after)")
      #expect(!after.contains("churn"), "\(after)")
      #expect(try bcctl("list").code == 0)
      close(input)
      #expect(try b.wait().code == 0)
    }
  }
}
