"""Plots as SVG that needs nothing else."""
import math
from html import escape

COLOURS = ["#4c566a", "#2e7d32", "#66bb6a", "#1b5e20", "#c62828", "#ef6c00", "#6a1b9a", "#00838f", "#ad1457", "#5d4037", "#1565c0"]
STYLE = "<style>text{font:11px sans-serif;fill:#333}.t{font-size:13px;font-weight:bold}.g{stroke:#ddd}</style>"


def page(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
            f'<rect width="100%" height="100%" fill="#fff"/>{STYLE}' + "".join(parts) + "</svg>\n")


def text(x, y, words, anchor="start", kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


def ticks(low, high):
    return [m * 10.0 ** e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)
            if low <= m * 10.0 ** e <= high]


def bars(title, rows, names):
    """Ratios to bare on a logarithmic scale. rows: (label, {condition: ratio}); names: {condition: title}."""
    left, width, bar, right = 190, 760, 9, 60
    shown = [n for n in names if any(n in values for _, values in rows)]
    everything = [v for _, values in rows for v in values.values()] or [1]
    low, high = min(0.8, min(everything)), max(2.0, max(everything)) * 1.05
    scale = (width - left - right) / math.log(high / low)

    def x(value):
        return left + math.log(value / low) * scale

    parts = [text(10, 20, title, kind="t")]
    y = 34
    for i, name in enumerate(shown):
        at = 10 + (i % 4) * 185
        parts.append(f'<rect x="{at}" y="{y - 9 + i // 4 * 15}" width="10" height="10" fill="{COLOURS[list(names).index(name) % len(COLOURS)]}"/>')
        parts.append(text(at + 14, y + i // 4 * 15, names[name]))
    y += (len(shown) - 1) // 4 * 15 + 24
    top = y
    for label, values in rows:
        here = [n for n in shown if n in values]
        parts.append(text(left - 6, y + bar * len(here) / 2 + 4, label, "end"))
        for name in here:
            a, b = sorted((x(1), x(values[name])))
            parts.append(f'<rect x="{a:.1f}" y="{y}" width="{max(1, b - a):.1f}" height="{bar - 1}" fill="{COLOURS[list(names).index(name) % len(COLOURS)]}"/>')
            parts.append(text(max(a, b) + 3, y + bar - 1, f"{values[name]:.2f}"))
            y += bar
        y += 8
    grid = [f'<line x1="{x(t):.1f}" y1="{top - 6}" x2="{x(t):.1f}" y2="{y}" class="g"/>' + text(x(t), y + 12, f"{t:g}", "middle")
            for t in ticks(low, high)]
    return page(width, y + 22, parts[:1] + grid + parts[1:])


def lines(title, x_title, y_title, series):
    """Both axes logarithmic. series: {title: [(x, y)]}."""
    left, right, top, width, height = 70, 130, 40, 760, 380
    points = [p for one in series.values() for p in one if p[0] > 0 and p[1] > 0]
    if not points:
        return page(width, 60, [text(10, 20, title + ": nothing was measured", kind="t")])
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    x0, x1, y0, y1 = min(xs), max(max(xs), min(xs) * 2), min(ys) / 1.3, max(ys) * 1.3

    def x(value):
        return left + math.log(value / x0) / math.log(x1 / x0) * (width - left - right)

    def y(value):
        return height - 50 - math.log(value / y0) / math.log(y1 / y0) * (height - 50 - top)

    parts = [text(10, 20, title, kind="t"), text((left + width - right) / 2, height - 12, x_title, "middle"), text(10, top - 6, y_title)]
    for t in ticks(x0, x1):
        parts.append(f'<line x1="{x(t):.1f}" y1="{top}" x2="{x(t):.1f}" y2="{height - 50}" class="g"/>' + text(x(t), height - 34, f"{t:g}", "middle"))
    for t in ticks(y0, y1):
        parts.append(f'<line x1="{left}" y1="{y(t):.1f}" x2="{width - right}" y2="{y(t):.1f}" class="g"/>' + text(left - 6, y(t) + 4, f"{t:g}", "end"))
    for i, (name, one) in enumerate(series.items()):
        colour = COLOURS[(i + 1) % len(COLOURS)]
        way = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in one)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3" fill="{colour}"/>' for a, b in one]
        if one:
            parts.append(text(x(one[-1][0]) + 6, y(one[-1][1]) + 4, name))
    return page(width, height, parts)
