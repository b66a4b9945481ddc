"""One measurement of one server: some load for a few seconds, and what it cost."""

import json
import os
import re
import subprocess
import sys
import time

from servers import LOAD_CORE


def say(text):
    print(text, file=sys.stderr, flush=True)


class Measured:
    """CPU microseconds for each request, and how many there were each second."""

    def __init__(self, cpu, requests, seconds, extra=None):
        self.cost = cpu / requests * 1e6
        self.rate = requests / seconds
        self.extra = extra or {}


def environment(site):
    return os.environ | {"OPENSSL_CONF": str(site.openssl_conf), "CIPHER": site.cipher}


def client(site, command):
    done = subprocess.run(["taskset", "-c", LOAD_CORE, *map(str, command)], env=environment(site), capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


class Ours:
    """Our own load, in two steps: it prepares, says so, and goes on when it is told."""

    def __init__(self, site, *arguments, core=LOAD_CORE):
        command = ["taskset", "-c", core, site.tools["load"], *map(str, arguments)]
        self.process = subprocess.Popen(
            command, env=environment(site), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not self.process.stdout.readline():
            raise SystemExit(f"{' '.join(command)}: ended")

    def step(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def go(self):
        return self.process.communicate("go\n")[0]


def around(server, seconds, run):
    """Runs briefly so that connections, pools and caches are as they will be, then measures."""
    run(min(0.5, seconds))
    before = server.cpu()
    requests, took, extra = run(seconds)
    cpu = server.cpu() - before
    if requests == 0:
        raise SystemExit(f"{server.label}: no request was served; see its log")
    return Measured(cpu, requests, took, extra)


def wrk(server, request, seconds, connections=16, wanted_good=True, path="/hooks/github"):
    """HTTP/1.1, kept connections."""
    script = server.folder / "load.lua"
    script.write_text(request.lua())

    def run(seconds):
        # wrk takes whole seconds.
        out = client(server.site, ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}", "--timeout", "20", "-s", script,
                                   f"https://localhost:{server.port}{path}"])
        total, took = re.search(r"(\d+) requests in ([\d.]+)s", out).groups()
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
        bad = int(bad[1]) if bad else 0
        if wanted_good and bad or not wanted_good and bad != int(total):
            raise SystemExit(f"{server.label}: {bad} of {total} were refused")
        return int(total), float(took), None

    return around(server, seconds, run)


def h2load(server, request, seconds, connections=4, streams=32):
    """HTTP/2."""
    body = server.folder / "load.body"
    body.write_bytes(request.body)
    headers = [f"--header={name}: {value}" for name, value in request.headers.items()]

    def run(seconds):
        out = client(server.site, ["h2load", f"-c{connections}", f"-m{streams}", "-t1", f"-D{max(1, round(seconds))}", f"--data={body}",
                                   *headers, f"https://localhost:{server.port}/hooks/github"])
        good, bad = re.search(r"status codes: (\d+) 2xx, (.*)", out).groups()
        if re.search(r"[1-9]", re.sub(r"[345]xx", "", bad)):
            raise SystemExit(f"{server.label}: {bad}")
        return int(good), float(re.search(r"finished in ([\d.]+)s", out)[1]), None

    return around(server, seconds, run)


def load(server, request, mode, seconds, threads=16, rate=None, wanted_resumed=None):
    """Our own load: new connections, resumption, a fixed rate, very many connections."""
    file = server.folder / "load.request"
    file.write_bytes(request.http1(close=mode in ("close", "resume")))
    rates = [] if rate is None else [rate]
    ours = Ours(server.site, "send", server.port, file, mode, threads, seconds, *rates)
    before = server.cpu()
    said = json.loads(ours.go())
    cpu = server.cpu() - before
    if said["bad"] or said["errors"] or not said["good"]:
        raise SystemExit(f"{server.label}: {said}\n{server.last_words()}")
    resumed = said["resumed"] / said["good"]
    if wanted_resumed is not None and abs(resumed - wanted_resumed) > 0.05:
        raise SystemExit(f"{server.label}: {resumed:.0%} of the connections were resumed")
    return Measured(cpu, said["good"], said["seconds"], said)


def past_all(site, request, threads, seconds, rate):
    """The internal server itself, in clear: what remains when nothing stands between."""
    file = site.folder / "load.request"
    file.write_bytes(request.http1())
    return json.loads(Ours(site, "send", site.inside, file, "plain", threads, seconds, rate).go())


def hold(server, small, request, count):
    """Resident KiB that so many requests add of which the last byte is missing, to connections that stood open."""
    files = []
    for name, sent in (("small", small), ("large", request)):
        files.append(server.folder / f"load.{name}")
        files[-1].write_bytes(sent.http1())
    ours = Ours(server.site, "hold", server.port, *files, count)
    before = settled(server)
    ours.step()
    held = settled(server)
    good = int(ours.go())
    if good != count:
        raise SystemExit(f"{server.label}: {good} of {count} held requests got 200")
    return held - before


def settled(server):
    """Resident KiB once they no longer change."""
    now, same = server.resident(), 0
    while same < 5:
        time.sleep(0.05)
        last, now = now, server.resident()
        same = same + 1 if now == last else 0
    return now
