/// One function of a stack: where the program was, or which call it was in.
public struct Frame: Sendable, Hashable {
  /// As people write it (C++ demangled); nil where nothing known for sure covers the address: code
  /// of a JIT, a stripped file.
  public var function: String?
  /// Source file as the compiler recorded it, and the line (from 1). Nil without debug information.
  public var file: String?
  public var line: Int?
  /// Path of the file that the code was mapped from, `[vdso]` and the like as /proc/PID/maps has
  /// them; nil for memory that no file backs.
  public var module: String?
  /// Where in the module, in the ELF file's own addresses: for a caller, within its call
  /// instruction, so that `addr2line -e module offset` names the same line. In memory that no file
  /// backs, the address itself.
  public var offset: UInt64
  /// Inlined into the frame that follows.
  public var inlined: Bool
  /// Reached over a frame pointer, through code that no unwind information describes.
  public var guessed: Bool
  /// The file whose names have not been read yet (`Modules.named`); nil once they have, and where
  /// no file is left to read them from.
  public var unread: FileIdentity?

  public init(
    function: String?, file: String? = nil, line: Int? = nil, module: String? = nil,
    offset: UInt64 = 0,
    inlined: Bool = false, guessed: Bool = false, unread: FileIdentity? = nil
  ) {
    self.function = function
    self.file = file
    self.line = line
    self.module = module
    self.offset = offset
    self.inlined = inlined
    self.guessed = guessed
    self.unread = unread
  }

  /// What to call it in one word: the function, else the module's name and offset, else
  /// `[unknown]`.
  public var label: String {
    if let function { return function }
    guard let module else { return "[unknown]" }
    return
      "\(module[(module.lastIndex(of: "/").map(module.index(after:)) ?? module.startIndex)...])+0x"
      + String(offset, radix: 16)
  }
}
