"""What a member pays for processes and threads. argv: the program of starts.c, bcrun, and rounds.
Workers bare and in beancounters take turns of a few milliseconds. The least and the median of their turns are compared, by the
clock and in processor time, so that a busy machine disturbs all of them alike."""
import statistics, subprocess, sys

starts, bcrun, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
TURN = {"pthread_create": 100}
COMMANDS = {
    "bare": [starts],
    "unbounded": [bcrun, "-q", "--numfile", "1000", "--", starts],
    "bounded": [bcrun, "-q", "--numfile", "1000", "--privvmpages", "1G", "--", starts],
}
workers = {name: subprocess.Popen(c, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name, c in COMMANDS.items()}

def turn(worker, kind):
    worker.stdin.write(f"{kind} {TURN.get(kind, 5)}\n")
    worker.stdin.flush()
    return [float(word) for word in worker.stdout.readline().split()]

print("least (median) over bare; memory without a bound, and with one")
for kind in ["true", "fork", "fork+exec", "vfork+exec", "posix_spawn", "pthread_create"]:
    turns = {name: [] for name in workers}
    for name in workers:
        turn(workers[name], kind)
    for _ in range(rounds):
        for name in workers:
            turns[name].append(turn(workers[name], kind))
    for i, measure in enumerate(["clock", "processor"]):
        bare = [t[i] for t in turns["bare"]]
        text = f"{kind:15} {measure:9} bare {min(bare) / 1e3:7.1f} us"
        for name in ["unbounded", "bounded"]:
            with_us = [t[i] for t in turns[name]]
            text += f"   {min(with_us) / min(bare):.2f} ({statistics.median(with_us) / statistics.median(bare):.2f})"
        print(text, flush=True)
for worker in workers.values():
    worker.stdin.close()
    worker.wait()
