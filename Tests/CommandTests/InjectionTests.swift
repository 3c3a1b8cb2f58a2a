import Beancounters
import Testing

@testable import Command

@Suite struct InjectionRules {
  @Test func read() {
    #expect(Injection.read("numfile@3")?.rule == .nth(3))
    #expect(Injection.read("numfile%12.5:42")?.rule == .chance(0.125, seed: 42))
    #expect(Injection.read("privvmpages:stack")?.rule == .eachStack)
    #expect(Injection.read("privvmpages:stack")?.resource == .privvmpages)
  }

  @Test(arguments: [
    "", "numfile", "numfile@", "numfile@0", "numfile@-1", "numfile@1.5",
    "numfile@99999999999999999999", "files@1", "numfile%5",
    "numfile%0:1", "numfile%100.1:1", "numfile%nan:1", "numfile%1e1:1", "numfile%5:", "numfile%5:x",
    "numfile%5:1:2", "numfile:stacks", "@1",
  ])
  func unreadable(text: String) { #expect(Injection.read(text) == nil) }

  @Test(
    "what is written is read again",
    arguments: [Injection.nth(7), .chance(0.25, seed: 9), .eachStack])
  func roundTrip(rule: Injection) {
    #expect(Injection.read(rule.text(.numproc))?.rule == rule)
    #expect(Injection.read(rule.text(.numproc))?.resource == .numproc)
  }
}
