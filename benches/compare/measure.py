"""One measurement of one server: some load for a few seconds, and what it cost."""

import json
import os
import re
import subprocess
import sys

from servers import LOAD_CORE


def say(text):
    print(text, file=sys.stderr, flush=True)


class Measured:
    """CPU microseconds for each request, and how many there were each second."""

    def __init__(self, cpu, requests, seconds, extra=None):
        self.cost = cpu / requests * 1e6
        self.rate = requests / seconds
        self.extra = extra or {}


def client(site, command):
    environment = os.environ | {"OPENSSL_CONF": str(site.openssl_conf), "CIPHER": site.cipher}
    done = subprocess.run(
        ["taskset", "-c", LOAD_CORE, *map(str, command)], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


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
    """Our own load: new connections, resumption, a fixed rate."""
    file = server.folder / "load.request"
    file.write_bytes(request.http1(close=mode in ("close", "resume")))

    def run(seconds):
        rates = [] if rate is None else [rate]
        said = json.loads(client(server.site, [server.site.tools["load"], "send", server.port, file, mode, threads, seconds, *rates]))
        if said["bad"] or said["errors"]:
            raise SystemExit(f"{server.label}: {said}")
        resumed = said["resumed"] / said["good"]
        # The first connection of the load has nothing to resume.
        if wanted_resumed is not None and abs(resumed - wanted_resumed) > 0.05:
            raise SystemExit(f"{server.label}: {resumed:.0%} of the connections were resumed")
        return said["good"], said["seconds"], said

    return around(server, seconds, run)
