import ArgumentParser

struct Bcctl: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "bcctl", abstract: "Speaks with a running bcd.")
}
Bcctl.main()
