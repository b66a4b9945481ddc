"""The rows of the comparison: what is sent, who is asked, and what the relay should reach."""

import statistics

from measure import h2load, hold, load, past_all, say, wrk
from servers import HaProxy, Nginx, NginxLua, Relay

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


class Line:
    """Values by server. `own`: what the relay is compared with where that is itself, a name for it, and the most that the
    ratio may be. `limit`: the most that its value may be."""

    def __init__(self, unit, values, spread=None, own=None, limit=None):
        self.unit, self.values, self.spread, self.own, self.limit = unit, values, spread or {}, own, limit


class Row:
    """Some lines of the table. `targets`: server name and the most that the ratio may be."""

    def __init__(self, key, title, targets, measure):
        self.key, self.title, self.targets, self.measure = key, title, targets, measure

    def verdict(self, line):
        """Ratios and limits that have a target, with it."""
        relay = line.values.get("relay")
        if relay is None:
            return ""
        pairs = [(line.values[name], name, most) for name, most in self.targets.items() if line.values.get(name)]
        pairs += [line.own] if line.own else []
        said = [f"{relay / base:.2f} × {name}, wanted {most:g}{'' if relay / base <= most else ': missed'}" for base, name, most in pairs]
        if line.limit is not None:
            said.append(f"wanted {line.limit:g}{'' if relay <= line.limit else ': missed'}")
        return "; ".join(said)


def turns(options, servers, measure, of=lambda measured: measured.cost):
    """Servers take turns, because the machine has slow minutes; see `summary`."""
    got = {server.name: [] for server in servers}
    for _ in range(options.runs):
        for server in servers:
            got[server.name].append(of(measure(server)))
    return summary(got)


def summary(got):
    """The median of each, and the least with the most."""
    return ({name: statistics.median(values) for name, values in got.items()},
            {name: (min(values), max(values)) for name, values in got.items()})


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
            return [Line("CPU µs", *turns(options, servers, lambda server: send(server, request, options.seconds)))]
    return measure


def forged(options):
    with started(options, VERIFYING) as servers:
        request = options.site.request(USUAL, genuine=False)
        return [Line("CPU µs", *turns(options, servers, lambda server: wrk(server, request, options.seconds, wanted_good=False)))]


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


def large_bodies(server, request, seconds):
    """By the load that ends no request in its middle: of such there are few in a run."""
    return load(server, request, "keepalive", seconds, threads=4)


def latency(options):
    """Through each server and past all of them, at half of what HAProxy can carry on this machine."""
    with started(options, ALL) as servers:
        request = options.site.request(USUAL)
        yardstick = next((server for server in servers if server.name == "haproxy"), servers[0])
        # By the same load generator, so that it is not at its own limit either.
        rate = load(yardstick, request, "keepalive", options.seconds).rate / 2
        say(f"    half load: {rate:.0f} requests a second")
        got = {}
        for _ in range(options.runs):
            for server in servers:
                got.setdefault(server.name, []).append(load(server, request, "keepalive", options.seconds, rate=rate).extra)
            got.setdefault("nobody", []).append(past_all(options.site, request, 16, options.seconds, rate))
        lines = []
        for share, title in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
            nobody = statistics.median(said[share] for said in got["nobody"])
            added = {name: [said[share] - nobody for said in saids] for name, saids in got.items() if name != "nobody"}
            lines.append(Line(f"added µs, {title}", *summary(added)))
        return lines


def threads(cores):
    """CPU for each request with one, two and four workers, each server against itself."""
    def measure(options):
        kinds = [Relay, HaProxy, Nginx]
        groups = {count: started(options, kinds, threads=count, cores=cores) for count in (1, 2, 4)}
        request = options.site.request(USUAL)
        got = {count: {} for count in groups}
        for _ in range(options.runs):
            for count, servers in groups.items():
                for server in servers:
                    got[count].setdefault(server.name, []).append(wrk(server, request, options.seconds, connections=64).cost)
        for servers in groups.values():
            servers.__exit__()
        alone = statistics.median(got[1]["relay"]) if "relay" in got[1] else None
        return [Line(f"CPU µs, {count} of them", *summary(costs), own=(alone, "one worker", 1.05) if alone and count > 1 else None)
                for count, costs in got.items()]
    return measure


def start_and_memory(options):
    """From exec to the first connection, and what is resident a moment after it."""
    times, resident = {}, {}
    for _ in range(max(5, options.runs)):
        for kind in options.wanted(ALL):
            with Started([kind(options.site)]) as (server,):
                times.setdefault(server.name, []).append(server.start_ms)
                resident.setdefault(server.name, []).append(server.resident() / KIB)
    return [Line("ms from exec to listening", *summary(times), limit=50), Line("MiB when idle", *summary(resident), limit=20)]


def in_flight(options, size=MIB, count=256):
    """What a request whose last byte has not come adds to its connection, beyond its body."""
    values = {}
    for kind in options.wanted(ALL):
        with Started([kind(options.site, body=size)]) as (server,):
            added = hold(server, options.site.request(256), options.site.request(size), count)
            values[server.name] = added / count - size / KIB
    return [Line("KiB beyond the body", values, limit=16)]


def large(site):
    """1 000 routes and 100 000 addresses, of which the route under load is one and the load's another."""
    addresses = site.folder / "addresses.txt"
    if not addresses.exists():
        lines = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(0, 199_998, 2)] + ["127.0.0.1"]
        addresses.write_text("\n".join(lines) + "\n")
    routes = "".join(
        f'\n[routes.r{n}]\npath = "/hooks/r{n}"\nprovider = "github"\nsecrets = [{{ file = "secret" }}]\nupstream = "app"\n'
        for n in range(999))
    return f'allow = ["big"]\n\n[address_lists]\nbig = {{ file = "{addresses}" }}\n{routes}'


def much_configuration(options):
    """The relay with a large configuration against itself with a small one."""
    got = {"small": [], "large": []}
    with Started([Relay(options.site), Relay(options.site, more=large(options.site))]) as both:
        request = options.site.request(USUAL)
        for _ in range(options.runs):
            for server, values in zip(both, got.values()):
                values.append((wrk(server, request, options.seconds).cost, server.start_ms, server.idle / KIB))
    small, big = (list(map(statistics.median, zip(*values))) for values in got.values())
    return [Line(unit, {"relay": big[at]}, own=(small[at], f"without ({small[at]:.1f})", 1.02))
            for at, unit in enumerate(("CPU µs", "ms from exec to listening", "MiB when idle"))]


ROWS = [
    Row("keepalive", "kept connections, verified, 1.8 KiB", {"haproxy": 0.75, "nginx": 1.0}, cost(ALL, wrk)),
    Row("logged", "the same, where every server writes a line", {"haproxy": 0.75, "nginx": 1.0}, cost(ALL, wrk, lines=True)),
    Row("forged", "kept connections, forged: refused", {"haproxy": 1.0}, forged),
    Row("new", "new connection for each request", {"haproxy": 0.5}, cost(ALL, new_connections)),
    Row("resumed", "the same, resumed", {"nginx": 0.5}, cost(ALL, resumed_connections)),
    Row("new-aes256", "new connection, TLS_AES_256_GCM_SHA384", {"haproxy": 0.5}, other_cipher(new_connections)),
    Row("h2", "HTTP/2, 4 connections of 32 streams", {"haproxy": 0.9}, cost(ALL, h2load)),
    Row("body-256", "body of 256 B", {"haproxy": 1.0}, cost(ALL, wrk, 256)),
    *(Row(f"body-{key}", f"body of {title}", {"haproxy": 1.0}, cost(ALL, large_bodies, size))
      for key, title, size in (("64k", "64 KiB", 64 * KIB), ("1m", "1 MiB", MIB), ("10m", "10 MiB", 10 * MIB))),
    Row("latency", "latency at half load", {"haproxy": 1.0}, latency),
    Row("threads", "workers on one core, 64 connections", {}, threads("0")),
    Row("threads-2", "workers on both cores, with the load", {}, threads("0,1")),
    Row("start", "start, and memory when idle", {}, start_and_memory),
    Row("in-flight", "memory of a request in flight, 1 MiB", {}, in_flight),
    Row("large", "1 000 routes, 100 000 addresses", {}, much_configuration),
]
