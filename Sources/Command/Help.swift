import Beancounters

/// What `bcrun --help` prints; at most 80 columns.
public let helpText = """
  Usage: bcrun [options] [--] COMMAND [ARG…]
  Run COMMAND in a new beancounter, and report what it used and was denied.

  Bounds (the charge that would pass one is denied):
    -l, --limit RES=BARRIER[:LIMIT]  bounds of a resource; one value sets both,
                                     100: the barrier alone, :120 the limit alone
    --RES BARRIER[:LIMIT]            the same, RES as listed below
    -m, --memory SIZE                privvmpages limit (and barrier)
    --memory-reservation SIZE        privvmpages barrier
    --pids-limit N                   numproc
    --config FILE                    bounds from a file: an OpenVZ configuration
                                     or TOML; repeatable; a later option wins
    --profile NAME                   bounds of a sample that came with OpenVZ:
                                     \(Profile.accepted)
    --best-effort                    run although a bound cannot be enforced here

  The run:
    --name NAME                      name of the beancounter
    --parent NAME                    nest it under another
    --server SOCKET                  use a running bcd, not a server of its own
    --meminfo                        COMMAND sees its bounds in /proc/meminfo
    -e, --env K=V                    set a variable for COMMAND; repeatable
    -w, --workdir DIR                run COMMAND in DIR
    --errno posix|openvz             which error a denied call returns
    --on-server-loss deny|allow      charges when the server is lost (deny)
    --on-physpages refuse|reclaim    growth at the limit of physpages: refused
                                     (refuse), or once idle members have been
                                     paged out; that takes swap, CAP_SYS_NICE
    --fail RES@N|RES%P:SEED|RES:stack
                                     fail the N-th charge, P percent of them, or
                                     the first of each place, though there is
                                     room; repeatable
    --torture all|RES[,RES…]         run COMMAND again and again, each time with
                                     the next charge failing; 124 if it crashes,
                                     hangs, or leaves descriptors open
    --torture-shallow                … with one charge of each place failing
    --torture-round RES@N            one of those runs again

  The report:
    --report[=FILE]                  write it to FILE (stderr)
    --report-format text|json|kv     its format (text)
    --fail-on denial|barrier|uncovered
                                     exit 124 if it happened; repeatable
    -q, --quiet                      no report
    -v, --verbose                    all of it, not only 20 lines

    -h, --help                       print this
    --version                        print the version

  Enforced resources:
  \(optionList(Resource.enforced))
  Known, but not enforced by this version (see --best-effort):
  \(optionList(Resource.allCases.filter { !Resource.enforced.contains($0) }))

  The limit of physpages refuses growth of private memory, not the touching of
  what is mapped already; its barrier bounds nothing.

  Sizes: K M G T P(ages) B, base 1024, as 1.5G; a bare number is in the
  resource's own unit: items (num*), pages (*pages, --memory) or bytes.
  num* takes whole numbers only. unlimited, max, infinity or -1 is no bound.

  Exit status: that of COMMAND; 124 --fail-on, 125 bcrun failed, 126 COMMAND
  cannot be executed, 127 COMMAND not found.

  """

/// One option for each resource, wrapped to 80 columns and indented.
private func optionList(_ resources: [Resource]) -> String {
  var lines = [""]
  for option in resources.map({ "--" + $0.name }) {
    if lines[lines.count - 1].utf8.count + option.utf8.count + 2 > 78 { lines.append("") }
    lines[lines.count - 1] += "  " + option
  }
  return lines.joined(separator: "\n")
}
