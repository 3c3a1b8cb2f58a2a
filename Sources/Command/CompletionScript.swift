import Beancounters

/// Completions of bcrun and bcd, out of the same tables that read their options. What stands from
/// COMMAND on is completed as if it stood alone.
package enum CompletionScript {
  package enum Program: String, CaseIterable { case bcrun, bcd }

  package static func bash(_ program: Program) -> String {
    let table = table(program)
    let takesValue = table.filter { $0.value == .required }.flatMap(spellings)
    let cases = table.compactMap { one -> String? in
      guard one.value == .required else { return nil }
      let words =
        one.words.isEmpty ? "compgen -f" : "compgen -W '\(one.words.joined(separator: " "))'"
      return
        "    \(spellings(one).joined(separator: "|"))) COMPREPLY=($(\(words) -- \"$cur\")); return ;;"
    }
    return """
      _\(program.rawValue)() {
        local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} i
        [[ $cur == = ]] && cur=
        [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}
        for ((i = 1; i < COMP_CWORD; i++)); do
          case ${COMP_WORDS[i]} in
          \(takesValue.joined(separator: "|"))) [[ ${COMP_WORDS[i+1]} == = ]] && ((i++)); ((i++)) ;;
          --) ((i++)); break ;;
          -* | =) ;;
          *) break ;;
          esac
        done
        if ((i < COMP_CWORD)) || [[ $prev == -- ]]; then
          declare -F _command_offset >/dev/null && { _command_offset $i; return; }
          ((i == COMP_CWORD)) && COMPREPLY=($(compgen -c -- "$cur")) || COMPREPLY=($(compgen -f -- "$cur"))
          return
        fi
        case $prev in
      \(cases.joined(separator: "\n"))
        esac
        if [[ $cur == -* ]]; then
          COMPREPLY=($(compgen -W '\(table.flatMap(spellings).joined(separator: " "))' -- "$cur"))
        else
          COMPREPLY=($(compgen -c -- "$cur"))
        fi
      }
      complete -o default -F _\(program.rawValue) \(program.rawValue)

      """
  }

  package static func zsh(_ program: Program) -> String {
    let specs = table(program).map { one -> String in
      let value = one.words.isEmpty ? "_files" : "(\(one.words.joined(separator: " ")))"
      let message = escaped(one.accepted, also: ":[]\\").split(
        separator: "'", omittingEmptySubsequences: false
      ).joined(separator: "'\\''")
      let repeats = one.isRepeatable ? "*" : ""
      switch one.value {
      case .none:
        return "'\(repeats)--\(one.name)[]'" + (one.short.map { " '\(repeats)-\($0)[]'" } ?? "")
      case .optional: return "'\(repeats)--\(one.name)=-[]::\(message):\(value)'"
      case .required:
        return "'\(repeats)--\(one.name)=[]:\(message):\(value)'"
          + (one.short.map { " '\(repeats)-\($0)+[]:\(message):\(value)'" } ?? "")
      }
    }
    let rest =
      program == .bcrun ? [#"'(-)1:command: _command_names -e'"#, "'*::arguments:_normal'"] : []
    return "#compdef \(program.rawValue)\n_arguments -S \\\n  "
      + (specs + rest).joined(separator: " \\\n  ") + "\n"
  }

  package static func fish(_ program: Program) -> String {
    let name = program.rawValue
    let lines = table(program).map { one -> String in
      let short = one.short.map { " -s \($0)" } ?? ""
      let value =
        switch one.value {
        case .none: " -f"
        case .optional: ""
        case .required:
          one.words.isEmpty ? " -r -F" : " -x -a '\(one.words.joined(separator: " "))'"
        }
      return "complete -c \(name) -l \(one.name)\(short)\(value)"
    }
    let rest = program == .bcrun ? ["complete -c bcrun -f -a '(__fish_complete_subcommand)'"] : []
    return (lines + rest).joined(separator: "\n") + "\n"
  }

  private static func table(_ program: Program) -> [LongOption] {
    program == .bcrun ? LongOption.all : LongOption.ofServer
  }

  private static func spellings(_ one: LongOption) -> [String] {
    ["--" + one.name] + (one.short.map { ["-\($0)"] } ?? [])
  }
}

extension LongOption {
  /// What its value may be, where that is one of few.
  fileprivate var words: [String] {
    switch key {
    case .limit: Resource.allCases.map { $0.name + "=" }
    case .profile: Profile.allCases.map(\.rawValue)
    case .reportFormat: ["text", "json", "kv"]
    case .failOn: ["denial", "barrier", "uncovered"]
    case .torture: TortureRound.resources.map(\.name)
    case .onServerLoss: ["deny", "allow"]
    case .onPhyspages: ["refuse", "reclaim"]
    case .errno: ["posix", "openvz"]
    default: []
    }
  }

  fileprivate var isRepeatable: Bool {
    [.limit, .config, .environment, .failOn, .fail].contains(key)
  }
}
