private import CLinux

/// `ENFILE`; a number that has no name here as `E133`.
package func errnoName(_ code: Int32) -> String {
  guard let name = strerrorname_np(code) else { return "E\(code)" }
  return String(cString: name)
}
