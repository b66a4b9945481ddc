"""How the cost of a request grows with the configuration and with the connections: one axis after the other, everything else as in
the first row of the comparison."""

from measure import load, say, wrk
from rows import KIB, USUAL, Started, summary
from servers import HaProxy, Nginx, Relay


class Axis:
    """What grows, over which values, and what is measured at each: servers and how they are asked."""

    def __init__(self, key, title, points, measure):
        self.key, self.title, self.points, self.measure = key, title, points, measure


def configured(settings):
    """The relay with a configuration that depends on the point."""
    def measure(options, points):
        servers = Started(Relay(options.site, **settings(options.site, point)) for point in points)
        with servers:
            for server in servers:
                server.check(USUAL)
            request = options.site.request(USUAL)
            costs = {point: [] for point in points}
            for _ in range(options.runs):
                for point, server in zip(points, servers):
                    costs[point].append(wrk(server, request, options.seconds).cost)
            return {
                "dmz-relay": summary(costs)[0],
                "start, ms": {point: server.start_ms for point, server in zip(points, servers)},
                "idle, MiB": {point: server.idle / KIB for point, server in zip(points, servers)},
            }
    return measure


def routes(site, count):
    """So many routes beside the one that is asked for, which stands in the middle."""
    more = [f'\n[routes.r{n}]\npath = "/hooks/r{n}"\nprovider = "github"\nsecrets = [{{ file = "secret" }}]\nupstream = "app"\n'
            for n in range(count - 1)]
    return {"more": "".join(more)}


def addresses(site, count):
    """A list that the route asks, with so many entries; the load's own is one of them."""
    file = site.folder / f"addresses.{count}"
    lines = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(0, 2 * (count - 1), 2)]
    file.write_text("\n".join([*lines, "127.0.0.1", ""]))
    return {"more": f'allow = ["list"]\n\n[address_lists]\nlist = {{ file = "{file}" }}\n'}


def secrets(site, count):
    """So many secrets, of which the last has signed: every other is tried first."""
    for number in range(1, count):
        file = site.folder / f"secret.{number}"
        file.write_text(f"another secret, number {number}, that signs nothing")
        file.chmod(0o600)
    files = [site.folder / f"secret.{number}" for number in range(1, count)]
    return {"secrets": ", ".join([*(f'{{ file = "{file}" }}' for file in files), '{ file = "secret" }'])}


def connections(options, points):
    """Each on a kept connection, all busy."""
    with Started(kind(options.site) for kind in options.wanted([Relay, HaProxy, Nginx])) as servers:
        request = options.site.request(USUAL)
        costs = {server.label: {point: [] for point in points} for server in servers}
        for _ in range(options.runs):
            for point in points:
                for server in servers:
                    # Few connections are no load to speak of, and very many need a while to take their turn.
                    seconds = options.seconds if point < 1000 else options.seconds * 2
                    costs[server.label][point].append(load(server, request, "keepalive", seconds, threads=point).cost)
                    say(f"    {point}: {server.name} {costs[server.label][point][-1]:.1f}")
        return {label: summary(of)[0] for label, of in costs.items()}


AXES = [
    Axis("routes", "routes", [1, 10, 100, 1000, 10_000], configured(routes)),
    Axis("addresses", "address entries", [10, 1000, 100_000, 1_000_000], configured(addresses)),
    Axis("secrets", "secrets of the route, the last one has signed", [1, 2, 4, 8, 16], configured(secrets)),
    Axis("connections", "busy connections", [1, 16, 64, 256, 1000, 8000], connections),
]
