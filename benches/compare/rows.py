"""The rows of the comparison: what is sent, who is asked, and what the relay should reach."""

import json
import os
import statistics
import subprocess

from measure import client, h2load, load, say, wrk
from servers import LOAD_CORE, SERVERS, HaProxy, Nginx, NginxLua, Relay

ALL = [Relay, HaProxy, Nginx, NginxLua]
VERIFYING = [Relay, HaProxy, NginxLua]
KIB, MIB = 1024, 1024 * 1024
#: A usual webhook.
USUAL = 1843


class Options:
    """How long and how often."""

    def __init__(self, site, seconds, runs, servers):
        self.site, self.seconds, self.runs, self.servers = site, seconds, runs, servers

    def wanted(self, kinds):
        return [kind for kind in kinds if kind.name in self.servers]


class Result:
    """Values of one row by server; the first is what it costs, others are told beside it."""

    def __init__(self, row, unit, values, spread=None, note=""):
        self.row, self.unit, self.values, self.spread, self.note = row, unit, values, spread or {}, note

    def ratio(self, other):
        relay = self.values.get("relay")
        return None if relay is None or not self.values.get(other) else relay / self.values[other]


class Row:
    """One line of the table. `targets`: server name and the most that the ratio may be."""

    def __init__(self, key, title, targets, measure):
        self.key, self.title, self.targets, self.measure = key, title, targets, measure


def turns(options, servers, measure, of=lambda measured: measured.cost):
    """Servers take turns, because the machine has slow minutes; the median of each, with the least and the most."""
    got = {server.name: [] for server in servers}
    for _ in range(options.runs):
        for server in servers:
            got[server.name].append(of(measure(server)))
    return {name: statistics.median(values) for name, values in got.items()}, {
        name: (min(values), max(values)) for name, values in got.items()}


def started(options, kinds, **settings):
    return Started([kind(options.site, **settings) for kind in options.wanted(kinds)])


class Started(list):
    """Servers that end with the block."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self:
            server.stop()


def cost(kinds, send, size=USUAL, **settings):
    """CPU for each request, one worker on one core."""
    def measure(options):
        with started(options, kinds, body=size, **settings) as servers:
            for server in servers:
                server.check(size)
            request = options.site.request(size)
            values, spread = turns(options, servers, lambda server: send(server, request, options.seconds))
            return [("CPU µs", values, spread)]
    return measure


def forged(options):
    with started(options, VERIFYING) as servers:
        request = options.site.request(USUAL, genuine=False)
        values, spread = turns(options, servers, lambda server: wrk(server, request, options.seconds, wanted_good=False))
        return [("CPU µs", values, spread)]


def other_cipher(send):
    """The suite that OpenSSL offers first when nobody says otherwise."""
    def measure(options):
        usual = options.site.cipher
        options.site.with_cipher("TLS_AES_256_GCM_SHA384")
        try:
            return cost(ALL, send)(options)
        finally:
            options.site.with_cipher(usual)
    return measure


def new_connections(server, request, seconds):
    return load(server, request, "close", seconds, threads=8, wanted_resumed=0)


def resumed_connections(server, request, seconds):
    return load(server, request, "resume", seconds, threads=8, wanted_resumed=1)


def latency(options):
    """Through each server and past all of them, at half of what HAProxy can carry on this machine."""
    with started(options, ALL) as servers:
        request = options.site.request(USUAL)
        yardstick = next((server for server in servers if server.name == "haproxy"), servers[0])
        rate = wrk(yardstick, request, options.seconds).rate / 2
        say(f"    half load: {rate:.0f} requests a second")
        got = {}
        for _ in range(options.runs):
            for server in servers:
                said = load(server, request, "keepalive", options.seconds, rate=rate).extra
                got.setdefault(server.name, []).append(said)
            file = servers[0].folder / "load.request"
            file.write_bytes(request.http1())
            said = client(options.site, [options.site.tools["load"], "send", options.site.inside, file, "plain", 16, options.seconds, rate])
            got.setdefault("nobody", []).append(json.loads(said))
        rows = []
        for share, title in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
            medians = {name: statistics.median(said[share] for said in saids) for name, saids in got.items()}
            nobody = medians.pop("nobody")
            rows.append((f"added µs, {title}", {name: value - nobody for name, value in medians.items()},
                         {name: (min(said[share] for said in got[name]) - nobody, max(said[share] for said in got[name]) - nobody)
                          for name in medians}))
        return rows


def threads(cores):
    """CPU for each request with one, two and four workers, each server against itself."""
    def measure(options):
        options_rows = []
        counts = (1, 2, 4)
        kinds = [Relay, HaProxy, Nginx]
        groups = [started(options, kinds, threads=count, cores=cores) for count in counts]
        try:
            request = options.site.request(USUAL)
            got = {}
            for _ in range(options.runs):
                for count, servers in zip(counts, groups):
                    for server in servers:
                        got.setdefault((server.name, count), []).append(wrk(server, request, options.seconds, connections=64).cost)
            for count in counts:
                values = {name: statistics.median(costs) for (name, at), costs in got.items() if at == count}
                spread = {name: (min(costs), max(costs)) for (name, at), costs in got.items() if at == count}
                options_rows.append((f"CPU µs, {count} {'worker' if count == 1 else 'workers'}", values, spread))
            return options_rows
        finally:
            for servers in groups:
                servers.__exit__()
    return measure


def start_and_memory(options):
    """From exec to the first connection, and what is resident a moment after it."""
    times, resident = {}, {}
    for _ in range(max(3, options.runs)):
        for kind in options.wanted(ALL):
            with Started([kind(options.site)]) as (server,):
                times.setdefault(server.name, []).append(server.start_ms)
                resident.setdefault(server.name, []).append(server.resident() / KIB)
    return [("start, ms", {name: statistics.median(all) for name, all in times.items()},
             {name: (min(all), max(all)) for name, all in times.items()}),
            ("idle, MiB", {name: statistics.median(all) for name, all in resident.items()},
             {name: (min(all), max(all)) for name, all in resident.items()})]


def in_flight(options, size=MIB, count=64):
    """What a request whose last byte has not come adds, beyond its body."""
    values = {}
    for kind in options.wanted(ALL):
        with Started([kind(options.site, body=size)]) as (server,):
            server.check(size)
            request = options.site.request(size)
            file = server.folder / "load.request"
            file.write_bytes(request.http1())
            before = server.resident()
            holding = subprocess.Popen(
                ["taskset", "-c", LOAD_CORE, options.site.tools["load"], "hold", str(server.port), str(file), str(count)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"CIPHER": options.site.cipher})
            assert holding.stdout.readline() == "held\n"
            values[server.name] = settled(server) / 1 - before
            good = holding.communicate("go\n")[0].strip()
            if int(good) != count:
                raise SystemExit(f"{server.label}: {good} of {count} held requests got 200")
            values[server.name] = values[server.name] / count - size / KIB
    return [("KiB beyond the body", values, {})]


def settled(server):
    """Resident memory once it no longer grows."""
    import time
    last, same = server.resident(), 0
    while same < 5:
        time.sleep(0.05)
        now = server.resident()
        same = same + 1 if now == last else 0
        last = now
    return last


def large(site):
    """1 000 routes and 100 000 addresses, of which the route under load has its own and all of them."""
    addresses = site.folder / "addresses.txt"
    if not addresses.exists():
        lines = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(0, 199_998, 2)] + ["127.0.0.1"]
        addresses.write_text("\n".join(lines) + "\n")
    routes = "".join(
        f'\n[routes.r{n}]\npath = "/hooks/r{n}"\nprovider = "github"\nsecrets = [{{ file = "secret" }}]\nupstream = "app"\n'
        for n in range(999))
    return f'allow = ["big"]\n\n[address_lists]\nbig = {{ file = "{addresses}" }}\n{routes}'


def much_configuration(options):
    """The relay against itself: shown in the columns as if it were the server that it is compared with."""
    with Started([Relay(options.site), Relay(options.site, more=large(options.site))]) as (small, big):
        request = options.site.request(USUAL)
        got = ([], [])
        for _ in range(options.runs):
            for server, costs in zip((small, big), got):
                server.check(USUAL)
                costs.append(wrk(server, request, options.seconds).cost)
        own, other = (statistics.median(costs) for costs in got)
        return [("CPU µs", {"relay": other, "small": own}, {}),
                ("start, ms", {"relay": big.start_ms, "small": small.start_ms}, {}),
                ("resident, MiB", {"relay": big.resident() / KIB, "small": small.resident() / KIB}, {})]


ROWS = [
    Row("keepalive", "kept connections, verified, 1.8 KiB", {"haproxy": 0.75, "nginx": 1.0}, cost(ALL, wrk)),
    Row("forged", "kept connections, forged: refused", {"haproxy": 1.0}, forged),
    Row("new", "new connection for each request", {"haproxy": 0.5}, cost(ALL, new_connections)),
    Row("resumed", "the same, resumed", {"nginx": 0.5}, cost(ALL, resumed_connections)),
    Row("new-aes256", "new connection, TLS_AES_256_GCM_SHA384", {"haproxy": 0.5}, other_cipher(new_connections)),
    Row("h2", "HTTP/2, 4 connections of 32 streams", {"haproxy": 0.9}, cost(ALL, h2load)),
    *(Row(f"body-{key}", f"body of {title}", {"haproxy": 1.0}, cost(ALL, wrk, size))
      for key, title, size in (("256", "256 B", 256), ("64k", "64 KiB", 64 * KIB), ("1m", "1 MiB", MIB), ("10m", "10 MiB", 10 * MIB))),
    Row("latency", "latency at half load", {"haproxy": 1.0}, latency),
    Row("threads", "workers on one core, 64 connections", {}, threads("0")),
    Row("threads-2", "workers on both cores, with the load", {}, threads("0,1")),
    Row("start", "start, and memory when idle", {}, start_and_memory),
    Row("in-flight", "memory of a request in flight, 1 MiB", {}, in_flight),
    Row("large", "1 000 routes, 100 000 addresses (beside: without)", {"small": 1.02}, much_configuration),
]
