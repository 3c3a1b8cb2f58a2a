import Beancounters
import Command
import Testing

@testable import Configuration

@Suite struct Files {
  @Test(
    "told apart by the extension, else by the first line",
    arguments: [
      ("101.conf", "[bounds]", .openvz), ("ve-x.conf-sample", "", .openvz),
      ("a.toml", "NUMPROC=\"1\"", .toml),
      ("a", "\n# c\nNUMPROC=1", .openvz), ("a", "  export NUMPROC='1'", .openvz),
      ("a", "VE_ROOT=/x", .openvz),
      ("a", "NUMPROC = 1", .toml), ("a", "numproc=1", .toml), ("a", "[bounds]", .toml),
      ("a", "", .toml),
      ("a", "# NUMPROC=1\nname = 'x'", .toml), ("a.conf.old", "\u{feff}NUMPROC=1", .openvz),
      ("a", "exportNUMPROC=1", .toml),
    ] as [(String, String, ConfigurationFile.Format)])
  func format(_ path: String, _ text: String, _ expected: ConfigurationFile.Format) {
    var format: ConfigurationFile.Format?
    do {
      format = try read(text, as: path).format
    } catch {
      // One format's text read as the other has problems of that format.
      format = error.problems.contains { $0.message.contains("KEY=") } ? .openvz : .toml
    }
    #expect(format == expected)
  }

  @Test func fromDisk() throws {
    try withFile("101.conf", Array(OpenVZ.basic.utf8)) { path in
      let file = try ConfigurationFile(path: path)
      #expect(file.top.configured == Profile.basic.configured && file.named.isEmpty)
    }
  }

  @Test("what cannot be read") func unreadable() throws {
    func message(_ path: String) -> String {
      do { return "no error: \(try ConfigurationFile(path: path))" } catch {
        return error.description
      }
    }
    #expect(
      message("/nonexistent/x.conf")
        == "/nonexistent/x.conf: cannot be opened: No such file or directory")
    #expect(message("/tmp") == "/tmp: cannot be read: Is a directory")
    #expect(
      message("/dev/zero") == "/dev/zero: is larger than 1048576 bytes, which no configuration is")
  }

  @Test("the examples are in order", arguments: ["101.conf", "web.toml", "site.toml"])
  func examples(_ name: String)
    throws
  {
    let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
    let file = try ConfigurationFile(path: "\(root)/examples/configurations/\(name)")
    #expect(file.sections.allSatisfy { !$0.configured.bounds.isEmpty })
    #expect(Verdict(path: file.path).findings.isEmpty)
  }
}

@Suite struct Printed {
  @Test("what bcctl bounds prints, bcrun reads back") func lines() throws {
    for (text, path) in [(OpenVZ.basic, "101.conf"), ("name='x'\n[bounds]\nnumpty='3:'", "a.toml")]
    {
      let file = try read(text, as: path)
      #expect(
        try Configured.parse(lines: file.boundsLines(), source: "test") == [file.top.configured])
    }
  }

  @Test func several() throws {
    let file = try read(
      "[beancounter.a]\nnumfile = 1\n[beancounter.b]\nparent = \"a\"", as: "x.toml")
    #expect(throws: ConfigurationError.self) { try file.boundsLines() }
    #expect(
      file.eachBoundsLines()
        == "# x.toml [a]\nname=a\nnumfile=1:1\n# x.toml [b]\nname=b\nparent=a\n")
    #expect(
      try Configured.parse(lines: file.eachBoundsLines(), source: "test")
        == file.sections.map(\.configured))
  }

  @Test("verdicts, as text and JSON") func verdicts() throws {
    try withFile("x.toml", Array("name='a'\n[bounds]\nnumfile='3:4'\n".utf8)) { path in
      let verdict = Verdict(path: path)
      #expect(verdict.failed)
      #expect(
        verdict.text
          == "\(path): [a] error: numfile.barrier = numfile.limit does not hold: 3, 4; set both to 4\n"
      )
      #expect(
        verdict.json
          == #"{"file":"\#(path)","problems":[],"findings":[{"beancounter":"a","severity":"error","#
          + #""rule":"numfile.barrier = numfile.limit","resource":"numfile","unit":"items","actual":3,"required":4,"#
          + #""remedy":"set both to 4"}]}"#)
    }
    try withFile("x.toml", Array("x=1\n[bounds]\n".utf8)) { path in
      let verdict = Verdict(path: path)
      #expect(verdict.failed && verdict.findings.isEmpty)
      #expect(verdict.text.hasPrefix("\(path):1: unknown key x; accepted: "))
      #expect(
        verdict.json.hasPrefix(
          #"{"file":"\#(path)","problems":[{"line":1,"message":"unknown key x; accepted: "#))
    }
    try withFile("x.conf", Array("VMGUARPAGES='1:unlimited'\nPRIVVMPAGES=0\n".utf8)) { path in
      let verdict = Verdict(path: path)
      #expect(!verdict.failed && verdict.findings.count == 1)
      #expect(
        verdict.json.contains(
          #""severity":"warning","rule":"privvmpages.barrier >= vmguarpages.barrier""#))
    }
    try withFile("x.conf", []) { path in
      #expect(Verdict(path: path).text == "\(path): consistent\n")
    }
    #expect(
      Verdict(path: "/nonexistent").json.contains(
        #""problems":[{"line":null,"message":"cannot be opened"#))
  }
}
