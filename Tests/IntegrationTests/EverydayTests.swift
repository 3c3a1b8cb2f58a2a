import Testing

extension RealPrograms {
  /// Within its limits no program can tell: output, errors and exit status are those of a bare run.
  @Suite struct Everyday {
    @Test(arguments: [
      ["tar", "cf", "-", "Shim"], ["find", "/usr/share/doc", "-name", "copyright"],
      [
        "perl", "-e",
        "print 'x' x 3; open(F, 'ls|'); print <F>; system('true'); fork or exit; wait",
      ],
      ["awk", "BEGIN { while ((\"ls /\" | getline l) > 0) print l; system(\"echo hi\") }"],
      ["sh", "-c", "ls | wc -l; (echo a; exit 3); true"], ["env", "-i", "/bin/sh", "-c", "ls /"],
      [
        "bash", "-c",
        "cat <(echo hi) <(echo ho); coproc cat; echo x >&${COPROC[1]}; read y <&${COPROC[0]}; echo $y",
      ],
      ["xargs", "-P4", "-n1", "echo"], ["swift", "--version"], ["g++", "--version"],
    ])
    func sameAsBare(command: [String]) throws {
      let resolved = [try tool(command[0])] + command.dropFirst()
      _ = try same(
        ["--numfile", "500", "--numproc", "100", "--privvmpages", "2G"], resolved, cwd: repository)
    }

    @Test func mallocWhereTheBreakCannotGrow() throws {
      let s = try Scratch()
      try #require(
        run([tool("gcc"), "-O1", "-fno-builtin", "-o", "\(s.path)/nobreak", program("nobreak.c")])
          .code == 0)
      let r = try same(["--privvmpages", "200M"], ["\(s.path)/nobreak"])
      #expect(r.ended.output == "1 20000\n")
    }
  }
}
