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
    .executable(name: "bcctl", targets: ["bcctl"]),
    .library(name: "Beancounters", targets: ["Beancounters"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
  ],
  targets: [
    // The shim is not a target: the plugin has cc link it, because no library product of C alone
    // stays free of the Swift runtime. It hangs on Wire, which it shares.
    .plugin(name: "BuildShim", capability: .buildTool(), path: "Sources/BuildShim"),
    .target(name: "Wire", path: "Sources/Wire", plugins: ["BuildShim"]),
    .systemLibrary(name: "CSQLite", path: "Sources/CSQLite"),
    .target(name: "CLinux", path: "Sources/CLinux"),
    .target(name: "Beancounters", path: "Sources/Beancounters", swiftSettings: swift),
    .target(
      name: "Recount", dependencies: ["CLinux", "Wire"], path: "Sources/Recount",
      swiftSettings: swift),
    .target(
      name: "Command", dependencies: ["CLinux", "Beancounters", "Witness"], path: "Sources/Command",
      swiftSettings: swift,
      linkerSettings: [.linkedLibrary("m")]),
    .target(
      name: "Server",
      dependencies: [
        "Beancounters", "Recount", "Command", "Wire", "Witness", "CWitness", "CLinux", "CSQLite",
      ],
      path: "Sources/Server",
      swiftSettings: swift),
    .executableTarget(
      name: "bcd", dependencies: ["Server", "Command", "Beancounters", "Recount", "CLinux"],
      path: "Sources/bcd", swiftSettings: swift,
      linkerSettings: [
        .unsafeFlags(["-Xlinker", "-l:libsqlite3.a"]),
        // 1.4 ms to start, not 2.8.
        .unsafeFlags(["-static-stdlib"], .when(configuration: .release)),
      ]),
    // Bounds from files. Not in bcd: TOMLKit brings Foundation, which would cost every start 15 ms;
    // bcrun asks bcctl.
    .target(
      name: "Configuration",
      dependencies: ["Beancounters", "Command", .product(name: "TOMLKit", package: "TOMLKit")],
      path: "Sources/Configuration", swiftSettings: swift),
    .executableTarget(
      name: "bcctl",
      dependencies: [
        "Configuration", "Command", "Beancounters", "Witness", "CLinux",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Sources/bcctl", swiftSettings: swift,
      // Installed programs must not need the toolchain. What Foundation's archives need is not
      // linked by itself.
      linkerSettings: [
        .unsafeFlags(
          [
            "-static-stdlib", "-l_FoundationCShims", "-l_FoundationCollections",
            "-lswiftSynchronization",
          ], .when(configuration: .release))
      ]),
    // Loads libunwind and libdw when it needs them.
    .target(name: "CWitness", path: "Sources/CWitness"),
    .target(
      name: "Witness", dependencies: ["CWitness", "CLinux"], path: "Sources/Witness",
      swiftSettings: swift),
    .target(name: "TestSupport", path: "Tests/Support", swiftSettings: swift),
    .testTarget(
      name: "ConfigurationTests",
      dependencies: ["Configuration", "Command", "Beancounters", "TestSupport"],
      path: "Tests/ConfigurationTests", swiftSettings: swift),
    .testTarget(
      name: "WitnessTests", dependencies: ["Witness", "TestSupport"], path: "Tests/WitnessTests",
      swiftSettings: swift),
    .testTarget(
      name: "RecountTests", dependencies: ["Recount", "TestSupport"], path: "Tests/RecountTests",
      swiftSettings: swift),
    .testTarget(
      name: "BeancountersTests", dependencies: ["Beancounters", "TestSupport"],
      path: "Tests/BeancountersTests", swiftSettings: swift),
    .testTarget(
      name: "CommandTests", dependencies: ["Command", "Beancounters", "Witness", "TestSupport"],
      path: "Tests/CommandTests",
      resources: [.copy("Data")], swiftSettings: swift),
    .testTarget(
      name: "BcctlTests", dependencies: ["bcctl", "Beancounters"], path: "Tests/BcctlTests",
      swiftSettings: swift),
    .testTarget(
      name: "ServerTests",
      dependencies: ["Server", "Beancounters", "Command", "Wire", "CLinux", "TestSupport"],
      path: "Tests/ServerTests",
      swiftSettings: swift, linkerSettings: [.linkedLibrary("sqlite3")]),
    .testTarget(name: "IntegrationTests", path: "Tests/IntegrationTests", swiftSettings: swift),
  ]
)

// Tests/fuzz builds it, with libFuzzer, in a folder of its own.
if Context.environment["BEANCOUNTER_FUZZ"] != nil {
  package.targets.append(
    .executableTarget(
      name: "Fuzz",
      dependencies: [
        "Server", "Configuration", "Command", "Witness", "Recount", "Beancounters", "Wire",
        "CLinux",
      ],
      path: "Tests/Fuzz",
      swiftSettings: [.swiftLanguageMode(.v6), .unsafeFlags(["-parse-as-library"])],
      linkerSettings: [.unsafeFlags(["-Xlinker", "-l:libsqlite3.a"])]))
}
