import Foundation
import PackagePlugin

/// Has cc link the shim. `swift build` alone then builds everything, and the library stays free of
/// the Swift runtime.
@main
struct BuildShim: BuildToolPlugin {
  private static let flags = [
    "-std=gnu17", "-O2", "-fPIC", "-fvisibility=hidden", "-ftls-model=initial-exec", "-fno-plt",
    "-U_FORTIFY_SOURCE",
    "-Wall", "-Wextra", "-Werror", "-fno-builtin-malloc", "-fno-builtin-calloc",
    "-fno-builtin-realloc", "-shared",
    // Without relro the library is three mappings instead of four: 3 in 100 of a start, and of a
    // fork. Its table of addresses stays writable for that, like the pointers to functions that
    // every C program has.
    "-Wl,-z,now,-z,norelro,-z,nodelete,-z,noseparate-code", "-Wl,--as-needed,--no-undefined",
  ]

  func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
    let package = context.package.directoryURL
    let shim = package.appending(path: "Shim")
    let wire = package.appending(path: "Sources/Wire/include")
    let output = context.pluginWorkDirectoryURL.appending(path: "libbeancounter.so")
    var inputs: [URL] = []
    for folder in [wire, shim, shim.appending(path: "calls")] {
      inputs += try FileManager.default.contentsOfDirectory(
        at: folder, includingPropertiesForKeys: nil
      )
      .filter { ["c", "h", "def"].contains($0.pathExtension) }.sorted { $0.path < $1.path }
    }
    let layout = shim.appending(path: "layout.ld")
    let sources = inputs.filter { $0.pathExtension == "c" }.map { $0.path }
    return [
      .buildCommand(
        displayName: "Linking libbeancounter.so", executable: URL(fileURLWithPath: "/usr/bin/cc"),
        arguments: Self.flags + [
          "-I", wire.path, "-I", shim.path, "-Wl,-T,\(layout.path)", "-o", output.path,
        ] + sources,
        inputFiles: inputs + [layout], outputFiles: [output])
    ]
  }
}
