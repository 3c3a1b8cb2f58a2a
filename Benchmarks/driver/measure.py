"""Runs things, and makes one figure of many runs."""
import os
import random
import re
import signal
import statistics
import subprocess
import tempfile
import time


class Failed(Exception):
    """A measurement that could not be made, and why."""


def said(words):
    """A command as a message has it: what is run last, and not all of it."""
    return " ".join(os.path.basename(word.split("\n")[0])[:20] for word in words[-4:])


def run(words, env=None, seconds=120, cwd=None, check=True):
    """Standard output of a command, which has so long, and whose whole session ends with it. Its output is a file,
    for it may leave processes behind that would hold a pipe open."""
    with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+", errors="replace") as err:
        with subprocess.Popen(words, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True) as process:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise Failed(f"{said(words)}: not done after {seconds} s") from None
        out.seek(0)
        err.seek(0)
        text = out.read()
        if check and process.returncode != 0:
            raise Failed(f"{said(words)}: exit {process.returncode}: {(err.read() or text).strip()[-300:]}")
        return text


def figures(text):
    """`ns 12.5 faults 0` as a dictionary."""
    words = text.split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2])}


class Budget:
    """Time for all that is to be measured. Sections get shares of it; rounds that would pass a share are not begun."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return self.end - time.monotonic()

    def share(self, part):
        return time.monotonic() + max(0, self.left()) * part

    @staticmethod
    def share_of(until, parts):
        """When the next of so many equal parts of what is left until then is over."""
        now = time.monotonic()
        return now + max(0, until - now) / parts


LEAST = 3  # rounds, whatever the time


def interleave(conditions, rounds, until, measure):
    """{condition name: [figure per round]}. A condition that fails leaves; the others go on. `measure` gives a number."""
    taken = {one.name: [] for one in conditions}
    errors = {}
    for number in range(rounds):
        if number >= LEAST and time.monotonic() > until:
            break
        order = [one for one in conditions if one.name not in errors]
        random.shuffle(order)
        for one in order:
            try:
                taken[one.name].append(measure(one))
            except Failed as error:
                errors[one.name] = str(error)
                taken.pop(one.name)
    return taken, errors


def summary(taken, base):
    """For each condition: the median figure, and median and quartiles of its ratios to the base in the same round."""
    result = {}
    for name, values in taken.items():
        ratios = [v / b for v, b in zip(values, taken.get(base, [])) if b > 0]
        one = {"median": statistics.median(values), "rounds": len(values)}
        if ratios:
            quarters = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
            one |= {"ratio": statistics.median(ratios), "low": quarters[0], "high": quarters[2]}
        result[name] = one
    return result


def instructions(words, env=None):
    """User instructions of a whole run, by callgrind."""
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    with subprocess.Popen(words[0] + tool + words[1], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        out = process.communicate(timeout=300)[0]
    found = re.search(r"Collected : (\d+)", out)
    if not found:
        raise Failed(f"callgrind: {out.strip()[-300:]}")
    return int(found.group(1))


def system_calls(before, words, work, env=None):
    """Number of system calls of a command and its children, by strace."""
    file = f"{work}/strace-{os.getpid()}"
    run(before + ["strace", "-f", "-q", "-c", "-U", "calls,name", "-o", file] + words, env=env)
    with open(file, encoding="utf-8") as text:
        total = [line.split() for line in text if line.split()[-1:] == ["total"]]
    return int(total[0][0]) if total else 0
