// swift-tools-version: 6.1
import PackageDescription

let swift: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
  name: "beancounter",
  products: [
    .executable(name: "bcd", targets: ["bcd"]),
    .library(name: "Beancounters", targets: ["Beancounters"]),
  ],
  targets: [
    // The shim is not a target: the plugin has cc link it, because no library product of C alone stays free of
    // the Swift runtime. It hangs on Wire, which it shares.
    .plugin(name: "BuildShim", capability: .buildTool(), path: "Sources/BuildShim"),
    .target(name: "Wire", path: "Sources/Wire", plugins: ["BuildShim"]),
    .target(name: "CLinux", path: "Sources/CLinux"),
    .target(name: "Beancounters", path: "Sources/Beancounters", swiftSettings: swift),
    .target(name: "Recount", dependencies: ["CLinux"], path: "Sources/Recount", swiftSettings: swift),
    .target(name: "Command", dependencies: ["CLinux", "Beancounters"], path: "Sources/Command", swiftSettings: swift,
      linkerSettings: [.linkedLibrary("m")]),
    .target(
      name: "Server", dependencies: ["Beancounters", "Recount", "Wire", "CLinux"], path: "Sources/Server",
      swiftSettings: swift),
    .executableTarget(
      name: "bcd", dependencies: ["Server", "Command", "Beancounters", "Recount", "CLinux"], path: "Sources/bcd", swiftSettings: swift,
      linkerSettings: [.unsafeFlags(["-static-stdlib"], .when(configuration: .release))]),  // 1.4 ms to start, not 2.8
    .testTarget(
      name: "BeancountersTests", dependencies: ["Beancounters"], path: "Tests/BeancountersTests", swiftSettings: swift),
    .testTarget(
      name: "CommandTests", dependencies: ["Command", "Beancounters"], path: "Tests/CommandTests", swiftSettings: swift),
    .testTarget(name: "IntegrationTests", path: "Tests/IntegrationTests", swiftSettings: swift),
  ]
)
