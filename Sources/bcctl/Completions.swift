import ArgumentParser
import Command

struct CompletionsCommand: ParsableCommand {
  enum Shell: String, ExpressibleByArgument, CaseIterable { case bash, zsh, fish }
  enum Program: String, ExpressibleByArgument, CaseIterable { case bcctl, bcrun, bcd }

  static let configuration = CommandConfiguration(
    commandName: "completions", abstract: "A completion script for a shell.",
    discussion: "Example: bcctl completions bash > ~/.local/share/bash-completion/completions/bcctl"
  )

  @Argument(help: "The shell.")
  var shell: Shell
  @Argument(help: "The program.")
  var program = Program.bcctl

  func run() throws {
    guard let other = CompletionScript.Program(rawValue: program.rawValue) else {
      return try output(own + "\n")
    }
    let text =
      switch shell {
      case .bash: CompletionScript.bash(other)
      case .zsh: CompletionScript.zsh(other)
      case .fish: CompletionScript.fish(other)
      }
    try output(text)
  }

  private var own: String {
    let of: CompletionShell =
      switch shell {
      case .bash: .bash
      case .zsh: .zsh
      case .fish: .fish
      }
    return Bcctl.completionScript(for: of)
  }
}
