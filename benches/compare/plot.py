"""Draws an axis as SVG: how the cost of a request grows, with the ratio to the first point at each."""

import math

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 56, 56
COLOURS = ["#0b6e99", "#b4530a", "#5b7f1c"]
MARKS = ["circle", "square", "triangle"]


def round_up(value):
    """The next of 1, 2, 5, 10, 20 … that is not less."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def number(value):
    """12 000 rather than 12000."""
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 10 else f"{value:g}"


def mark(kind, x, y, colour):
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
    if kind == "square":
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{colour}"/>'
    return f'<path d="M{x:.1f} {y - 5:.1f}l5 9h-10z" fill="{colour}"/>'


def draw(title, series):
    """`series`: name, then value by point. The horizontal axis is logarithmic, the vertical one begins at nothing."""
    points = list(next(iter(series.values())))
    low, high = math.log10(points[0]), math.log10(points[-1])
    most = round_up(max(max(values.values()) for values in series.values()) * 1.08)

    def x(point):
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(point) - low) / (high - low)

    def y(value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / most

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" role="img">',
           f"<title>CPU for each request by {title}</title>",
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>']
    for step in range(6):
        value = most * step / 5
        out.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#d9d9d9"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#444444">{number(value)}</text>')
    for point in points:
        out.append(f'<text x="{x(point):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle" fill="#444444">{number(point)}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle" fill="#222222">{title}</text>')
    out.append(f'<text x="{LEFT - 48}" y="20" fill="#222222">CPU µs for each request; at the points of dmz-relay their ratio to the first</text>')
    for (name, values), colour, kind, place in zip(series.items(), COLOURS, MARKS, range(3)):
        path = "L".join(f"{x(point):.1f} {y(value):.1f}" for point, value in values.items())
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        first = next(iter(values.values()))
        for point, value in values.items():
            out.append(mark(kind, x(point), y(value), colour))
            if place > 0:
                # Where lines meet their ratios would cover one another; the table below has them.
                continue
            out.append(f'<text x="{x(point):.1f}" y="{y(value) - 9:.1f}" text-anchor="middle" font-size="11" fill="{colour}">'
                       f"{value / first:.2f}</text>")
        legend = LEFT + place * 200
        out.append(mark(kind, legend, 38, colour))
        out.append(f'<text x="{legend + 10}" y="42" fill="#222222">{name}</text>')
    return "\n".join([*out, "</svg>", ""])
