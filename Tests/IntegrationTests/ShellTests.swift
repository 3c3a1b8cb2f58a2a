import Testing

extension RealPrograms {
  @Suite struct Shell {
    @Test func withinItsLimits() throws {
      try same(
        ["--numproc", "30", "--numfile", "100", "--privvmpages", "500M"],
        [
          "bash", "-c",
          "for i in {1..30}; do echo $i | sed s/1/one/ | tr a-z A-Z; done; x=$(seq 5); cat <<<$x; cat <(echo sub); (exit 9) || echo $?; wait",
        ])
    }

    /// A bomb of bounded depth: bash says so at every refusal, tries again, and is done when its
    /// children are.
    @Test func forkBomb() throws {
      let bomb =
        "b() { if (( $1 )); then b $(($1 - 1)) & b $(($1 - 1)) & wait; else sleep 3; fi; }; b 4; echo survived"
      let r = try bcrun(["--numproc", "20"], ["bash", "-c", bomb], timeout: 90)
      #expect(r.ended.errors.contains("retry: Resource temporarily unavailable"))
      #expect(r.ended.output == "survived\n")
      #expect(r.ended.code == 0)
      #expect(try r.report.row("numproc").maxheld == 20)
      try r.refused(
        "numproc", occurrences("Resource temporarily unavailable", in: r.ended.errors),
        errno: "EAGAIN")
    }

    @Test func jobsThatDoNotFitWaitForThoseThatEnd() throws {
      let r = try bcrun(
        ["--numproc", "20"],
        ["bash", "-c", "for i in {1..30}; do sleep 3 & n=$((n+1)); done; wait; echo $n"],
        timeout: 90)
      #expect(r.ended.output == "30\n")
      #expect(r.ended.errors.contains("retry: Resource temporarily unavailable"))
      #expect(try r.report.row("numproc").maxheld == 20)
      try r.refused(
        "numproc", occurrences("Resource temporarily unavailable", in: r.ended.errors),
        errno: "EAGAIN")
    }

    @Test func redirectionBeyondNumfile() throws {
      let r = try bcrun(
        ["--numfile", "5"],
        [
          "bash", "-c",
          "exec {a}</dev/null {b}</dev/null {c}</dev/null {d}</dev/null {e}</dev/null; : {f}</dev/null; echo rc $?; exec {e}<&-; : </dev/null; echo rc $?",
        ])
      #expect(r.ended.output == "rc 1\nrc 0\n")
      #expect(r.ended.errors.contains("/dev/null: Too many open files in system"))
      #expect(try r.report.row("numfile").maxheld == 5)
      try r.refused(
        "numfile", occurrences("Too many open files in system", in: r.ended.errors), errno: "ENFILE"
      )
    }
  }
}
