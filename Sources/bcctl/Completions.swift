import ArgumentParser

struct CompletionsCommand: ParsableCommand {
  enum Shell: String, ExpressibleByArgument, CaseIterable { case bash, zsh, fish }

  static let configuration = CommandConfiguration(
    commandName: "completions", abstract: "A completion script for a shell.",
    discussion: "Example: bcctl completions bash > ~/.local/share/bash-completion/completions/bcctl")

  @Argument(help: "The shell.")
  var shell: Shell

  func run() throws {
    let of: CompletionShell =
      switch shell {
      case .bash: .bash
      case .zsh: .zsh
      case .fish: .fish
      }
    try output(Bcctl.completionScript(for: of) + "\n")
  }
}
