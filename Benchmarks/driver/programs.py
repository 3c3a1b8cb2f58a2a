"""Real programs: what a run of each takes, bare and under each condition."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import conditions
from measure import Failed, figures, interleave, run, summary

PYTHON = """
import json, os, re
words = {}
for folder in ("/usr/lib/python3/dist-packages", "/usr/lib/python3.11/json", "/usr/lib/python3.11/email"):
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open(path, errors="replace") as text:
                for word in re.findall(r"[a-z]+", text.read()):
                    words[word] = words.get(word, 0) + 1
for i in range(60): json.loads(json.dumps({str(k): [k] * 8 for k in range(1500)}))
"""
SQL = """
CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) INSERT INTO t SELECT i, hex(i * 7919), i / 3.0 FROM n;
CREATE INDEX x ON t(b);
SELECT count(*), sum(c) FROM t WHERE b LIKE '3%';
DELETE FROM t WHERE a % 3 = 0;
SELECT length(group_concat(b)) FROM t;
"""
NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
uwsgi_temp_path {folder}; scgi_temp_path {folder};
server {{ listen 127.0.0.1:{port}; root {folder}; }} }}
"""


class Programs:
    """A folder with what they work on."""

    def __init__(self, bench):
        self.bench, self.folder = bench, tempfile.mkdtemp(dir=bench.work)
        self.tree = f"{self.folder}/tree"
        os.makedirs(self.tree)
        for i in range(300):
            os.makedirs(f"{self.tree}/{i % 20}", exist_ok=True)
            with open(f"{self.tree}/{i % 20}/{i}.txt", "w", encoding="utf-8") as text:
                text.write("\n".join(str(i * k) for k in range(80)))
        with open(f"{self.folder}/long.c", "w", encoding="utf-8") as text:
            text.write("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/socket.h>\n")
            for i in range(150):
                text.write(f"static int f{i}(int a, const char *b) {{ for (int i = 0; i < a; i++) if (b[i] == {i % 100}) a += f{i - 1}(i, b + 1); return a; }}\n"
                           if i else "static int f0(int a, const char *b) { return a + *b; }\n")
            text.write("int main(int n, char **v) { return f149(n, v[0]); }\n")

    def timed(self, one, words, limits=None, cwd=None):
        """Seconds of a command under a condition, its own start and end left out."""
        file = f"{self.bench.work}/timed.out"
        run(one.before(limits) + [f"{self.bench.work}/timed", file] + words, env=one.environment(), seconds=120, cwd=cwd)
        with open(file, encoding="utf-8") as text:
            return figures(text.read())["seconds"]

    def served(self, one, limits, words, port, client):
        """Seconds that a bare client takes with a server that runs under the condition."""
        with subprocess.Popen(one.before(limits) + words, env=one.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True) as server:
            try:
                wait_for(port)
                run(client[:], seconds=60)  # warms up
                start = time.monotonic()
                run(client, seconds=60)
                return time.monotonic() - start
            finally:
                os.killpg(server.pid, signal.SIGTERM)
                try:
                    server.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(server.pid, signal.SIGKILL)

    def git(self, one, limits):
        shutil.rmtree(f"{self.tree}/.git", ignore_errors=True)
        script = "git init -q . && git add -A && git -c user.name=b -c user.email=b@b commit -q -m all && git status --short && git log --stat >/dev/null && git gc -q"
        return self.timed(one, ["sh", "-c", script], limits, self.tree)

    def redis(self, one, limits):
        port = free_port()
        client = ["redis-benchmark", "-p", str(port), "-q", "-n", "4000" if self.bench.quick else "15000", "-c", "10", "-t", "set,get,lpush"]
        return self.served(one, limits, ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"], port, client)

    def nginx(self, one, limits):
        port = free_port()
        with open(f"{self.folder}/index.html", "w", encoding="utf-8") as text:
            text.write("x" * 8000)
        with open(f"{self.folder}/nginx.conf", "w", encoding="utf-8") as text:
            text.write(NGINX.format(folder=self.folder, port=port))
        client = ["ab", "-q", "-n", "1500" if self.bench.quick else "5000", "-c", "8", f"http://127.0.0.1:{port}/index.html"]
        return self.served(one, limits, ["nginx", "-c", f"{self.folder}/nginx.conf", "-e", f"{self.folder}/error.log"], port, client)

    def all(self):
        """(key, title, words to find the limits with or None, function of a condition and its limits)"""
        python = ["/usr/bin/python3", "-S", "-c", PYTHON]
        sqlite = ["sqlite3", ":memory:", SQL]
        gcc = ["gcc", "-O1", "-c", "-o", "/dev/null", f"{self.folder}/long.c"]
        find = ["sh", "-c", "find /usr/share /usr/lib/python3 -xdev -name '*.x' -size +1"]
        storm = [f"{self.bench.work}/storm", "4", "20" if self.bench.quick else "60"]

        def plain(words):
            return words, lambda one, limits: self.timed(one, words, limits)

        made = [("python", "python", *plain(python)), ("sqlite", "sqlite3", *plain(sqlite)), ("gcc", "gcc", *plain(gcc)),
                ("git", "git", None, self.git), ("find", "find", *plain(find)), ("redis", "redis (redis-benchmark)", None, self.redis),
                ("nginx", "nginx (ab)", None, self.nginx), ("storm", "fork+exec storm", *plain(storm))]
        return made if not self.bench.quick else [one for one in made if one[0] in ("python", "gcc", "redis", "storm")]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(port):
    for _ in range(1000):
        with socket.socket() as one:
            one.settimeout(1)
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise Failed(f"nobody listens at port {port} after ten seconds")


def times(bench):
    found = {}
    programs = Programs(bench)
    chosen = programs.all()
    until = bench.budget.share(0.3 if bench.quick else 0.6)
    for number, (key, title, words, once) in enumerate(chosen):
        bench.say(f"program: {title}")
        limits = conditions.limits_of(bench.top, bench.work, [f"{bench.work}/timed", "/dev/null"] + words) if words else None
        fitting = [c for c in bench.conditions if c.fits(key) and (limits or c.name != "limit")]
        fair = bench.budget.share_of(until, len(chosen) - number)
        taken, errors = interleave(fitting, 3 if bench.quick else 9, fair, lambda one: once(one, limits))
        found[key] = {"title": title, "conditions": summary(taken, "bare"), "errors": errors, "limits": limits}
    return found
