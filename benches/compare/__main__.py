"""Compares the relay with what an operator would use otherwise, on the same job: see `run` beside this file."""

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from growth import AXES  # noqa: E402
from measure import say  # noqa: E402
from plot import draw, number  # noqa: E402
from rows import ROWS, Line, Options  # noqa: E402
from servers import SERVERS, Site  # noqa: E402

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "growth"
#: What was last measured with `--write`, so that some rows can be measured anew without the others.
FIGURES = Path(__file__).parent / "figures.json"

LABELS = {kind.label for kind in SERVERS.values()}


def arguments():
    parser = argparse.ArgumentParser(prog="bash benches/compare/run")
    keys = [row.key for row in ROWS] + ["growth"] + [axis.key for axis in AXES] + ["none"]
    parser.add_argument("rows", nargs="*", metavar="ROW",
                        help=f"one or more of {', '.join(keys)}; \"growth\" is the axes after it; default: all but those; "
                             '"none" with --write draws figures.json anew')
    parser.add_argument("--servers", default=",".join(SERVERS), help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement, default %(default)s")
    parser.add_argument("--runs", type=int, default=3, help="of which the median is taken, default %(default)s")
    parser.add_argument("--cipher", default="TLS_AES_128_GCM_SHA256", help="the only suite that clients offer, default %(default)s")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--relay", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--load", required=True, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    parsed.servers = parsed.servers.split(",")
    for known, given in ((SERVERS, parsed.servers), (keys, parsed.rows)):
        for name in given:
            if name not in known:
                parser.error(f"unknown: {name}")
    return parsed


def shown(value, spread):
    if value is None:
        return "–"
    form = (lambda number: f"{number:.0f}") if abs(value) >= 100 else (lambda number: f"{number:.1f}")
    return form(value) if not spread else f"{form(value)} ({form(spread[0])}–{form(spread[1])})"


def table(rows, servers):
    """Markdown, which is readable as it is."""
    columns = [SERVERS[name] for name in servers]
    lines = ["| | | " + " | ".join(kind.label for kind in columns) + " | dmz-relay |", "|---" * (len(columns) + 3) + "|"]
    for row, line in rows:
        cells = [shown(line.values.get(kind.name), line.spread.get(kind.name)) for kind in columns]
        lines.append(f"| {row.title} | {line.unit} | " + " | ".join(cells) + f" | {row.verdict(line)} |")
    return "\n".join(lines)


def replace(page, name, text):
    """Puts the text between the two marks of this name."""
    begin, end = (f"<!-- benches/compare/run --write: {name}, {side} -->" for side in ("from here", "to here"))
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}"


def write(figures):
    """Tables into the page, plots beside it."""
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    known = {row.key: row for row in ROWS}
    lines = [(known[key], Line(**line)) for key in known for line in figures["rows"].get(key, [])]
    page = replace(PAGE.read_text(), "comparison", table(lines, list(SERVERS)))
    grown = []
    PLOTS.mkdir(exist_ok=True)
    for axis in AXES:
        series = figures["growth"].get(axis.key)
        if not series:
            continue
        series = {name: {int(point): value for point, value in values.items()} for name, values in series.items()}
        costs = {name: values for name, values in series.items() if "," not in name or name in LABELS}
        (PLOTS / f"{axis.key}.svg").write_text(draw(axis.title, costs))
        grown.append(grown_table(axis, series))
    if grown:
        page = replace(page, "growth", "\n\n".join(grown))
    PAGE.write_text(page)
    say(f"written: {PAGE}")


def grown_table(axis, series):
    points = list(next(iter(series.values())))
    lines = [f"![CPU for each request by {axis.title}](growth/{axis.key}.svg)", "",
             f"| {axis.title} | " + " | ".join(number(point) for point in points) + " |", "|---" * (len(points) + 1) + "|"]
    for name, values in series.items():
        first = values[points[0]]
        unit = ", CPU µs" if name in LABELS else ""
        lines.append(f"| {name}{unit} | " + " | ".join(f"{values[point]:.1f} ({values[point] / first:.2f})" for point in points) + " |")
    return "\n".join(lines)


def main():
    wanted = arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, hard), hard))
    figures = json.loads(FIGURES.read_text()) if wanted.write and FIGURES.exists() else {"rows": {}, "growth": {}}
    with tempfile.TemporaryDirectory(prefix="compare.") as folder:
        site = Site(Path(folder), {"relay": wanted.relay, "load": wanted.load}, wanted.cipher)
        try:
            options = Options(site, wanted.seconds, wanted.runs, wanted.servers)
            lines = []
            for row in ROWS:
                if row.key in wanted.rows or not wanted.rows:
                    say(f"{row.key}: {row.title}")
                    measured = row.measure(options)
                    figures["rows"][row.key] = [vars(line) for line in measured]
                    for line in measured:
                        lines.append((row, line))
                        values = ", ".join(f"{name} {shown(value, line.spread.get(name))}" for name, value in line.values.items())
                        say(f"    {line.unit}: {values}   {row.verdict(line)}")
            for axis in AXES:
                if axis.key in wanted.rows or "growth" in wanted.rows:
                    say(f"{axis.key}: {axis.title}")
                    figures["growth"][axis.key] = axis.measure(options, axis.points)
                    print(grown_table(axis, figures["growth"][axis.key]))
        finally:
            site.stop()
    if lines:
        print(table(lines, wanted.servers))
    if wanted.write:
        write(figures)


main()
