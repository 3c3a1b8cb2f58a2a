import Foundation
import Testing

extension RealPrograms {
  /// The library as the linker sees it, held against its one table.
  @Suite struct TheShim {
    let library = "\(repository)" + "/.build/release/beancounter_Wire.resources/libbeancounter.so"

    @Test func needsOnlyLibc() throws {
      let needed = try run([tool("readelf"), "-d", library]).output.split(separator: "\n").filter {
        $0.contains("NEEDED")
      }
      #expect(needed.count == 1)
      #expect(needed.allSatisfy { $0.contains("[libc.so.6]") })
    }

    /// dlsym allocates and takes locks, also when it fails; it is not called.
    @Test("3: nothing is looked up by the dynamic linker") func callsNoDlsym() throws {
      let wanted = try run([tool("nm"), "-D", "--undefined-only", library]).output
      #expect(wanted.contains(" U ") && !wanted.contains(" dlsym") && !wanted.contains(" dlvsym"))
    }

    @Test func exportsExactlyTheRowsOfTheTable() throws {
      let table = try String(contentsOfFile: "\(repository)" + "/Shim/calls.def", encoding: .utf8)
      let rows = table.split(separator: "\n").filter { !$0.hasPrefix("//") }.joined(separator: "\n")
      var listed = Set<String>()
      for match in rows.matches(
        of: /\b(?:FD|FDV|FDX|OPENV|OPENX|FILEP|FILEPX|FOPEN|FOPENX|HAND)\((\w+)/)
      { listed.insert(String(match.1)) }
      for match in rows.matches(of: /\bKEEP\(\w+, [^,]+,[^,]*, (\w+)/) {
        listed.insert(String(match.1))
      }
      for match in rows.matches(of: /\bDROP\(\w+, [^,]+, (\w+)/) { listed.insert(String(match.1)) }
      let symbols = try run([tool("nm"), "-D", "--defined-only", library]).output
      let exported = Set(
        symbols.split(separator: "\n").compactMap { $0.split(separator: " ").last.map(String.init) }
      )
      #expect(exported.count > 150)
      #expect(exported.subtracting(listed) == [])
      #expect(listed.subtracting(exported) == [])
    }
  }
}
