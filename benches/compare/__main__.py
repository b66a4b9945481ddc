"""Compares the relay with what an operator would use otherwise, on the same job: see `run` beside this file."""

import argparse
import re
import resource
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from measure import say  # noqa: E402
from rows import ROWS, Options, Result  # noqa: E402
from servers import SERVERS, Site  # noqa: E402

BEGIN, END = "<!-- benches/compare/run --write: from here -->", "<!-- benches/compare/run --write: to here -->"


def arguments():
    parser = argparse.ArgumentParser(prog="bash benches/compare/run")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one or more of {', '.join(row.key for row in ROWS)}; default: all")
    parser.add_argument("--servers", default=",".join(SERVERS), help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement, default %(default)s")
    parser.add_argument("--runs", type=int, default=3, help="of which the median is taken, default %(default)s")
    parser.add_argument("--cipher", default="TLS_AES_128_GCM_SHA256", help="the only suite that clients offer, default %(default)s")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--relay", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--load", required=True, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    parsed.servers = parsed.servers.split(",")
    for known, given in ((SERVERS, parsed.servers), ({row.key for row in ROWS}, parsed.rows)):
        for name in given:
            if name not in known:
                parser.error(f"unknown: {name}")
    return parsed


def shown(value, spread):
    if value is None:
        return "–"
    form = (lambda number: f"{number:.0f}") if abs(value) >= 100 else (lambda number: f"{number:.1f}")
    return form(value) if not spread else f"{form(value)} ({form(spread[0])}–{form(spread[1])})"


def verdict(result):
    """Ratios that have a target, with it."""
    said = []
    for other, most in result.row.targets.items():
        ratio = result.ratio(other)
        if ratio is not None:
            said.append(f"{ratio:.2f} × {other}, wanted {most:g}{'' if ratio <= most else ': missed'}")
    return "; ".join(said)


def table(results, servers):
    """Markdown, which is readable as it is."""
    columns = [SERVERS[name] for name in servers]
    lines = ["| | | " + " | ".join(kind.label for kind in columns) + " | relay / other |",
             "|---" * (len(columns) + 3) + "|"]
    for result in results:
        cells = [shown(result.values.get(kind.name), result.spread.get(kind.name)) for kind in columns]
        if "small" in result.values:
            cells = [cells[0], shown(result.values["small"], None), *cells[2:]] if len(cells) > 1 else cells
        lines.append(f"| {result.row.title} | {result.unit} | " + " | ".join(cells) + f" | {verdict(result)} |")
    return "\n".join(lines)


def write(text):
    page = Path(__file__).parents[2] / "docs" / "performance.md"
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    say(f"written: {page}")


def main():
    wanted = arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, hard), hard))
    with tempfile.TemporaryDirectory(prefix="compare.") as folder:
        site = Site(Path(folder), {"relay": wanted.relay, "load": wanted.load}, wanted.cipher)
        try:
            options = Options(site, wanted.seconds, wanted.runs, wanted.servers)
            results = []
            for row in ROWS:
                if not wanted.rows or row.key in wanted.rows:
                    say(f"{row.key}: {row.title}")
                    for unit, values, spread in row.measure(options):
                        result = Result(row, unit, values, spread)
                        results.append(result)
                        say("    " + unit + ": " + ", ".join(
                            f"{name} {shown(value, spread.get(name))}" for name, value in values.items()) + f"   {verdict(result)}")
        finally:
            site.stop()
    text = table(results, wanted.servers)
    print(text)
    if wanted.write:
        write(text)


main()
