"""Turns measurements into charts as inline SVG that need neither scripts nor fonts of their own."""

import math
from html import escape
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from jetson.bench.verdict import percentile

WIDTH = 920
LEFT, RIGHT, TOP, BOTTOM = 170, 24, 14, 40  # pixels around what is drawn
COLOURS = {
    "tensorrt-fp16": "#7c3aed",
    "tensorrt-fp32": "#c026d3",
    "onnxruntime-tensorrt": "#2563eb",
    "onnxruntime-cuda": "#059669",
    "onnxruntime-cpu": "#d97706",
}
OTHERS = ("#0891b2", "#be123c", "#4d7c0f", "#64748b")


class Span(NamedTuple):
    """A part of the time axis that belongs to somebody: from, to (seconds), and whose it is."""

    start: float
    end: float
    name: str


def colour(name: str) -> str:
    """Return a candidate's colour, the same in every chart."""
    return COLOURS.get(name) or OTHERS[sum(name.encode("utf-8")) % len(OTHERS)]


def distributions(series: Dict[str, Sequence[float]]) -> str:
    """Draw how each candidate's times (ms) are distributed, one above the other on one logarithmic axis."""
    row = 76
    lowest = math.log10(min(min(values) for values in series.values()))
    highest = math.log10(max(percentile(values, 99) for values in series.values()))
    low, high = lowest - 0.05, max(highest, lowest + 0.1) + 0.05
    height = TOP + row * len(series) + BOTTOM
    parts = [_log_axis(low, high, height, "milliseconds for one card")]
    for place, (name, values) in enumerate(series.items()):
        base = TOP + row * (place + 1) - 8
        edges = np.linspace(low, high, 141)
        counts = np.histogram(np.clip(np.log10(values), low, high), edges)[0].astype(np.float64)
        smooth = np.convolve(counts, [0.25, 0.5, 0.25], "same")
        heights = (row - 20) * smooth / max(smooth.max(), 1.0)
        points = np.column_stack([(edges[:-1] + edges[1:]) / 2, heights]).tolist()
        outline = ["{:.1f},{:.1f}".format(_x(x, low, high), base - up) for x, up in points]
        parts.append(
            '<path class="area" fill="{0}" stroke="{0}" d="M{1},{2} L{3} L{4},{2} Z"/>'.format(
                colour(name), LEFT, base, " L".join(outline), WIDTH - RIGHT
            )
        )
        parts.append(_label(name, base - 6))
        for share, tick in ((50, 34), (90, 22), (99, 22)):
            value = percentile(values, share)
            parts.append(
                '<line class="mark" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}" stroke="{3}">'
                "<title>{4}: p{5} {6:.2f} ms</title></line>".format(
                    _x(math.log10(value), low, high),
                    base - tick,
                    base,
                    colour(name),
                    escape(name),
                    share,
                    value,
                )
            )
    return _svg(height, "Distribution of the time for one card", parts)


def blocks(medians: Sequence[Tuple[str, float, float, float]]) -> str:
    """Draw blocks in the order of the run, each as (candidate, p10, p50, p90) in percent."""
    height = 260
    low, high = _range([value for block in medians for value in block[1:]])
    parts = [_y_axis(low, high, height, "%")]
    slot = (WIDTH - LEFT - RIGHT) / float(len(medians))
    for place, (name, p10, p50, p90) in enumerate(medians):
        x, width = LEFT + slot * (place + 0.5), min(0.62 * slot, 46)
        top, bottom = _y(p90, low, high, height), _y(p10, low, high, height)
        parts.append(
            "<g><title>block {}: {}: p50 {:.1f} %, p10 {:.1f} %, p90 {:.1f} %</title>"
            '<rect class="box" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="4" fill="{c}" '
            'stroke="{c}"/><line class="mark" x1="{:.1f}" x2="{:.1f}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="{c}"/></g>'.format(
                place + 1,
                escape(name),
                p50,
                p10,
                p90,
                x - width / 2,
                top,
                width,
                max(bottom - top, 1.0),
                x - width / 2,
                x + width / 2,
                y=_y(p50, low, high, height),
                c=colour(name),
            )
        )
        if len(medians) <= 24 or place % 2 == 0:
            parts.append(
                '<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'.format(
                    x, height - BOTTOM + 18, place + 1
                )
            )
    parts.append(_axis_title("blocks in the order of the run", height))
    return _svg(height, "Every block in the order of the run", parts)


def timeline(
    lines: Dict[str, Sequence[Tuple[float, float]]], unit: str, spans: Sequence[Span], what: str
) -> str:
    """Draw values over seconds, with a band of its colour for each candidate's turn.

    Args:
        lines: points (seconds, value) of each line by its name.
        unit: of the values.
        spans: whose turn it was when.
        what: the chart's title for those who cannot see it.
    """
    height = 210
    points = [point for line in lines.values() for point in line]
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    low, high = _range([y for _, y in points])
    parts = []
    for span in spans:
        start, end = max(span.start, first), min(span.end, last)
        if end > start:
            left = _x(start, first, last)
            parts.append(
                '<rect class="band" x="{:.1f}" y="{}" width="{:.1f}" height="{}" fill="{}">'
                "<title>{}</title></rect>".format(
                    left,
                    TOP,
                    max(_x(end, first, last) - left, 1.0),
                    height - TOP - BOTTOM,
                    colour(span.name),
                    escape(span.name),
                )
            )
    parts += [_y_axis(low, high, height, unit), _x_axis(first, last, height, "seconds")]
    for place, (name, line) in enumerate(lines.items()):
        stroke = ("var(--accent)",) + OTHERS
        drawn = " ".join(
            "{:.1f},{:.1f}".format(_x(x, first, last), _y(y, low, high, height)) for x, y in line
        )
        parts.append(
            '<polyline class="line" stroke="{}" points="{}"><title>{}</title></polyline>'.format(
                stroke[place % len(stroke)], drawn, escape(name)
            )
        )
        if len(lines) > 1:
            parts.append(
                '<text class="label" x="0" y="{}" style="fill:{}">{}</text>'.format(
                    TOP + 14 + 18 * place, stroke[place % len(stroke)], escape(name)
                )
            )
    return _svg(height, what, parts)


def _svg(height: float, title: str, parts: List[str]) -> str:
    return (
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg">\n{}\n</svg>'
    ).format(WIDTH, height, escape(title), "\n".join(parts))


def _x(value: float, low: float, high: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / ((high - low) or 1.0)


def _y(value: float, low: float, high: float, height: float) -> float:
    return height - BOTTOM - (height - TOP - BOTTOM) * (value - low) / ((high - low) or 1.0)


def _range(values: Sequence[float]) -> Tuple[float, float]:
    """Return the range of an axis: from zero, unless all the news would be at its far end."""
    lowest, highest = min(values), max(values)
    room = 0.12 * (highest - lowest) or 0.05 * abs(highest) or 1.0
    return (0.0 if 0 <= lowest < 0.4 * highest else max(lowest - room, 0.0)), highest + room


def _ticks(low: float, high: float, count: int) -> List[float]:
    """Return about so many round values within a range."""
    raw = (high - low) / count or 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _x_axis(low: float, high: float, height: float, title: str) -> str:
    ticks = [(_x(tick, low, high), tick) for tick in _ticks(low, high, 8)]
    return "\n".join([_tick(x, height, tick) for x, tick in ticks] + [_axis_title(title, height)])


def _log_axis(low: float, high: float, height: float, title: str) -> str:
    """Draw an axis of decimal logarithms, with ticks at 1, 2, 5 or, where it is short, at every digit."""
    factors = (1, 2, 5) if high - low > 0.7 else (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    decades = range(math.floor(low), math.ceil(high) + 1)
    values = [factor * 10.0**decade for decade in decades for factor in factors]
    parts = []
    for value in values:
        if low <= math.log10(value) <= high:
            x = _x(math.log10(value), low, high)
            parts.append(
                '<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>'.format(
                    x, TOP, height - BOTTOM
                )
            )
            parts.append(_tick(x, height, value))
    return "\n".join(parts + [_axis_title(title, height)])


def _tick(x: float, height: float, value: float) -> str:
    return '<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{:g}</text>'.format(
        x, height - BOTTOM + 18, round(value, 9)
    )


def _y_axis(low: float, high: float, height: float, unit: str) -> str:
    parts = []
    for tick in _ticks(low, high, 4):
        y = _y(tick, low, high, height)
        parts.append(
            '<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>'
            '<text class="tick" x="{3}" y="{4:.1f}" text-anchor="end">{5:g} {6}</text>'.format(
                LEFT, WIDTH - RIGHT, y, LEFT - 10, y + 4, round(tick, 9), unit
            )
        )
    return "\n".join(parts)


def _axis_title(title: str, height: float) -> str:
    return '<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>'.format(
        WIDTH - RIGHT, height - 4, escape(title)
    )


def _label(name: str, y: float) -> str:
    return '<text class="label" x="0" y="{}" style="fill:{}">{}</text>'.format(y, colour(name), escape(name))
