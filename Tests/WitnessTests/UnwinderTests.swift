import Foundation
import Glibc
import Testing

@testable import Witness

@Suite(.serialized) struct UnwinderTests {
  let shop: Workshop
  init() throws { shop = try Workshop() }

  @Test("Inlined, static and plain functions, with their lines, without a frame pointer")
  func lines() throws {
    let stack = try stackOf(shop.build("calls.c", "-g", "-O2", "-fomit-frame-pointer"))
    try #require(functions(stack).starts(with: ["innermost", "middle", "hidden", "outer", "main"]))
    for (frame, name) in zip(stack, ["innermost", "middle", "hidden", "outer", "main"]) {
      #expect(try frame.line == line(name, of: "calls.c"))
      #expect(frame.file == "\(programs)/calls.c")
    }
    #expect(stack.map(\.inlined).starts(with: [true, true, false, false, false]))
    #expect(stack.allSatisfy { !$0.guessed })
    #expect(functions(stack).contains("_start"))
    #expect(stack.last?.function == "_start")
  }

  @Test("addr2line says the same")
  func addr2line() throws {
    let program = try shop.build("calls.c", "-g", "-O2")
    let own = try stackOf(program).filter { $0.module == program && $0.line != nil }
    #expect(own.count == 5)
    for offset in Set(own.map(\.offset)) {
      let said = try run("addr2line", "-i", "-f", "-e", program, "0x" + String(offset, radix: 16))
        .split(separator: "\n").map { $0.split(separator: " (")[0] }
      let ours = own.filter { $0.offset == offset }.flatMap {
        [$0.label, "\($0.file ?? "?"):\($0.line ?? 0)"]
      }
      #expect(said.map(String.init) == ours)
    }
  }

  @Test(
    "DWARF of other versions and kinds",
    arguments: [
      "-gdwarf-3 -g", "-gdwarf-4 -g", "-gdwarf-5 -gz", "-g -Wl,--no-eh-frame-hdr",
      "-g -fno-asynchronous-unwind-tables -fno-unwind-tables",  // leaves .debug_frame alone
      "-g -gz -fno-asynchronous-unwind-tables -fno-unwind-tables",
    ])
  func kinds(_ flags: String) throws {
    let output = "\(shop.path)/kind"
    let libraries = "-L\(shop.path) -lprobe -Wl,-rpath,\(shop.path) -pthread"
    try run("sh", "-c", "cc -O2 \(flags) \(programs)/calls.c -o \(output) \(libraries)")
    let stack = try stackOf(output)
    #expect(
      functions(stack).starts(with: ["innermost", "middle", "hidden", "outer", "main"]),
      "\(functions(stack))")
    #expect(try stack.first?.line == line("innermost", of: "calls.c"))
  }

  @Test("Stripped: no name for what no symbol covers, the dynamic ones for the rest")
  func stripped() throws {
    let program = try shop.build("calls.c", "-O2", "-DHIDE")
    try run("strip", program)
    let stack = try stackOf(program)
    let own = stack.filter { $0.module == program }
    #expect(own.count == 4)  // hidden, outer, main, _start
    #expect(own.allSatisfy { $0.function == nil && $0.file == nil })
    #expect(
      stack.contains {
        $0.function == "__libc_start_main" || $0.function?.hasPrefix("__libc_start") == true
      })
    #expect(stack[0].label.hasPrefix("calls-c+0x"))
  }

  @Test("Stripped, with debug information in a file of its own by build id")
  func buildID() throws {
    let program = try shop.build("calls.c", "-g", "-O2", "-Wl,--build-id=0x0123456789abcdef")
    let folder = "\(shop.path)/debug/.build-id/01"
    try run("mkdir", "-p", folder)
    try run("objcopy", "--only-keep-debug", program, "\(folder)/23456789abcdef.debug")
    try run("strip", program)
    let with = try stackOf(program, modules: Modules(debugDirectories: ["\(shop.path)/debug"]))
    #expect(functions(with).starts(with: ["innermost", "middle", "hidden", "outer", "main"]))
    #expect(try with.first?.line == line("innermost", of: "calls.c"))
    // One of another build is not taken.
    let other = try shop.build(
      "calls.c", "-g", "-O1", "-Wl,--build-id=0x0123456789abcdee", as: "other")
    try run("objcopy", "--only-keep-debug", other, "\(folder)/23456789abcdef.debug")
    let without = try stackOf(program, modules: Modules(debugDirectories: ["\(shop.path)/debug"]))
    #expect(without.first?.function == nil)
  }

  @Test("Stripped, with a .gnu_debuglink, whose checksum counts")
  func debugLink() throws {
    let program = try shop.build("calls.c", "-g", "-O2", "-Wl,--build-id=none")
    try run("mkdir", "\(shop.path)/.debug")
    let debug = "\(shop.path)/.debug/calls.debug"
    try run("objcopy", "--only-keep-debug", program, debug)
    try run("strip", program)
    try run("objcopy", "--add-gnu-debuglink=\(debug)", program)
    #expect(try functions(stackOf(program)).starts(with: ["innermost", "middle", "hidden"]))
    let file = try FileHandle(forUpdating: URL(filePath: debug))
    try file.seekToEnd()
    try file.write(contentsOf: Data([0]))
    try file.close()
    #expect(try stackOf(program).first?.function == nil)
  }

  @Test("C++ names are readable, through the runtime that carries an exception")
  func exceptions() throws {
    let stack = try stackOf(shop.build("exceptions.cpp", "-g", "-O2"))
    let names = functions(stack)
    #expect(names.first == "shop::Basket<int>::~Basket()", "\(names)")
    #expect(
      names.contains { $0.hasPrefix("shop::Till::charge(std::__cxx11::basic_string<") }, "\(names)")
    #expect(names.contains("main"))
    #expect(
      stack.contains { $0.module?.contains("libgcc_s") == true }
        || names.contains { $0.contains("charge") })
  }

  @Test(
    "Out of a signal handler, on the same stack and on one of its own",
    arguments: ["raise", "segv", "alternate"])
  func signals(_ how: String) throws {
    let stack = try stackOf(shop.build("signals.c", "-g", "-O1"), how)
    let names = functions(stack)
    if how == "segv" {
      #expect(names.first == "leave", "\(names)")
      let at = try #require(names.firstIndex(of: "interrupted"), "\(names)")
      // Exactly the instruction that was interrupted, not the one before it.
      let wanted = try line("interrupted", of: "signals.c")
      #expect(stack[at].line == wanted)
    } else {
      #expect(names.first == "handler", "\(names)")
      #expect(names.contains("asks"), "\(names)")
    }
    #expect(names.contains("main"), "\(names)")
  }

  @Test("A stack of 16 KiB: the whole of it, and nothing beyond")
  func smallStack() throws {
    let program = try Witnessing([shop.build("calls.c", "-g", "-O2"), "thread"])
    let names = try functions(Unwinder(pid: program.pid).frames(program.message))
    #expect(
      names.starts(with: ["innermost", "middle", "hidden", "outer", "in_thread"]), "\(names)")
    #expect(program.message.count < 320 + 16384)
    #expect(program.finish() == 0)
  }

  @Test("A stack deeper than what is sent ends where the slice does, without an invention")
  func deep() throws {
    let program = try shop.build("calls.c", "-g", "-O1", "-fno-optimize-sibling-calls")
    let names = try functions(stackOf(program, "deep", "3000"))
    #expect(names.count <= Unwinder.framesMost + 2)
    #expect(Set(names.dropFirst(4)) == ["deep"], "\(names.suffix(3))")
  }

  @Test("A file that is gone")
  func gone() throws {
    let stack = try stackOf(shop.build("calls.c", "-g", "-O2"), "unlink")
    #expect(
      functions(stack).starts(with: ["innermost", "middle", "hidden", "outer", "main"]),
      "\(functions(stack))")
  }

  @Test("Over code that nothing describes, by frame pointer")
  func undescribed() throws {
    let program = try shop.build("jit.c", "-g", "-O2")
    let frames = try stackOf(program, "frames")
    #expect(functions(frames).starts(with: ["called_by_jit", "?", "main"]), "\(functions(frames))")
    #expect(frames[1].module == nil && frames[1].guessed == false && frames[2].guessed)
    #expect(frames.last?.function == "_start")
    // Where the register is no frame pointer the stack ends: nothing wrong is said.
    #expect(try functions(stackOf(program, "none")) == ["called_by_jit", "?"])
  }

  @Test("Python: its own functions, down to main")
  func python() throws {
    let preload = ["LD_PRELOAD": "\(shop.path)/libprobe.so"]
    let names = try functions(
      stackOf("/usr/bin/python3", "\(programs)/probe.py", environment: preload))
    #expect(
      names.contains {
        $0.hasPrefix("PyObject_") || $0.hasPrefix("_PyEval") || $0.hasPrefix("Py_")
      }, "\(names)")
    #expect(names.contains { $0 == "Py_BytesMain" || $0 == "Py_RunMain" }, "\(names)")
    #expect(names.last == "_start" || names.last == "?", "\(names)")
  }

  @Test("Node: through what its JIT made, to the end")
  func node() throws {
    let stack = try stackOf(
      "node", "\(programs)/probe.js", environment: ["LD_PRELOAD": "\(shop.path)/libprobe.so"])
    let names = functions(stack)
    #expect(
      names.contains { $0.hasPrefix("node::Start(") || $0.hasPrefix("node::LoadEnvironment(") },
      "\(names)")
    #expect(stack.contains { $0.guessed })
    #expect(names.contains { $0.hasPrefix("__libc_start") }, "\(names)")
  }

  @Test("A process that ends before its stack is read, after its mappings have been")
  func ended() throws {
    let program = try Witnessing([shop.build("calls.c", "-g", "-O2")])
    let unwinder = try Unwinder(pid: program.pid)
    #expect(program.finish() == 0)
    let names = functions(unwinder.frames(program.message))
    #expect(names.starts(with: ["innermost", "middle", "hidden", "outer", "main"]), "\(names)")
  }

  @Test("Out of the kernel's own library, which no file backs")
  func vdso() throws {
    let program = try Witnessing([shop.build("calls.c", "-g", "-O2")])
    func vdso(_ pid: pid_t) throws -> UInt64 {
      let maps = Mapping.parse(try #require(contents(of: "/proc/\(pid)/maps", most: 1 << 20)))
      return try #require(maps.first { $0.path == "[vdso]" }).start
    }
    let library = try #require(dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD))
    let function = try #require(dlsym(library, "__vdso_clock_gettime"))
    let offset = try UInt64(UInt(bitPattern: function)) - vdso(getpid())
    // As if the code that sent the witness had just called it: its return address on top of the
    // stack.
    var message = program.message
    func word(_ at: Int) -> UInt64 {
      message[at..<(at + 8)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    func put(_ value: UInt64, _ at: Int) {
      for i in 0..<8 { message[at + i] = UInt8(truncatingIfNeeded: value >> (8 * i)) }
    }
    let (ip, sp, slice) = (24 + 16 * 8, 24 + 7 * 8, 288)
    let (from, length) = (word(ip), word(slice + 8))
    put(word(sp) - 8, sp)
    put(word(slice) - 8, slice)
    put(length + 8, slice + 8)
    try put(vdso(program.pid) + offset, ip)
    message.insert(contentsOf: (0..<8).map { UInt8(truncatingIfNeeded: from >> (8 * $0)) }, at: 320)
    let names = try functions(Unwinder(pid: program.pid).frames(message))
    #expect(
      names.suffix(8).starts(with: ["innermost", "middle", "hidden", "outer", "main"]), "\(names)")
    #expect(names.contains("probe"), "\(names)")
  }

  @Test("A process that has gone gives a reason")
  func dead() throws {
    #expect(throws: WitnessError.maps(pid: 0x3fff_ffff, errno: ENOENT)) {
      _ = try Unwinder(pid: 0x3fff_ffff)
    }
  }

  @Test("Files are kept once for many processes, and not without bound")
  func bounded() throws {
    let program = try shop.build("calls.c", "-g", "-O2")
    let modules = Modules(files: 2)
    for _ in 0..<3 { _ = try stackOf(program, modules: modules) }
    #expect(modules.count == 2)
    let names = try functions(stackOf(program, modules: modules))
    #expect(names.contains("main"))
  }
}
