"""A run as one HTML page that needs nothing else: tables, bars, and plots as inline SVG.

A plot is lines over logarithmic axes, which is all the benches have to show; a plotting library
would bring more into the lock than the page has lines.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from bench.results import Curve, Outcome, Record

RIGHT, FLOOR, LEFT, TOP = 490, 260, 60, 20
"""The lines of a plot are drawn within."""

BELOW, LEGEND, ROW, LETTER = 40, 34, 15, 7
"""The axis takes so much below, the legend so much beside, and each of its rows and letters."""

COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")
DASHES = ("none", "7 3", "2 3", "9 3 2 3")
"""Where colours come again; six by four are more lines than any plot has."""

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Tallygate bench</title>
<style>body{{font:15px system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
pre{{background:#f6f8fa;padding:1rem;overflow-x:auto}}svg{{max-width:100%}}
svg text{{font:11px system-ui,sans-serif}}
</style><h1>Tallygate bench</h1>
<p>{date}, commit {commit}<br>{machine}<br><code>{command}</code></p>
{body}</html>
"""


def page(record: Record) -> str:
    """Return the page of a run."""
    facts = {
        name: escape(getattr(record, name)) for name in ("date", "commit", "machine", "command")
    }
    body = "\n".join(_section(name, outcome) for name, outcome in record.outcomes.items())
    return _PAGE.format(body=body, **facts)


def _section(name: str, outcome: Outcome) -> str:
    plots: dict[str, list[Curve]] = {}
    for curve in outcome.curves:
        plots.setdefault(curve.plot, []).append(curve)
    drawn = (f"<h3>{escape(title)}</h3>{plot(curves)}" for title, curves in plots.items())
    return f"<h2>{escape(name)}</h2><pre>{escape(outcome.table())}</pre>{''.join(drawn)}"


class _Axis:
    """A logarithmic axis over some numbers, laid over some pixels."""

    def __init__(self, numbers: Sequence[float], start: float, stop: float) -> None:
        low, high = min(numbers), max(numbers)
        self.low, self.high = math.log10(low), math.log10(high * 1.0001)
        if self.high - self.low < 0.05:
            self.low, self.high = self.low - 0.1, self.high + 0.1
        self._start, self._stop = start, stop

    def at(self, number: float) -> float:
        """Return the pixel of a number."""
        part = (math.log10(number) - self.low) / (self.high - self.low)
        return self._start + part * (self._stop - self._start)

    def ticks(self) -> Iterator[float]:
        """Yield round numbers within the axis."""
        steps = (1, 2, 5) if self.high - self.low < 3 else (1,)
        for power in range(math.floor(self.low), math.ceil(self.high) + 1):
            for step in steps:
                if self.low <= math.log10(step * 10.0**power) <= self.high:
                    yield step * 10.0**power


def plot(curves: Sequence[Curve]) -> str:
    """Return an SVG of curves that share their axes."""
    shown = [(curve.name, [(x, y) for x, y in curve.points if x > 0 and y > 0]) for curve in curves]
    points = [point for _, found in shown for point in found]
    if not points:
        return ""
    across = _Axis([x for x, _ in points], LEFT, RIGHT)
    up = _Axis([y for _, y in points], FLOOR, TOP)
    width = RIGHT + LEGEND + LETTER * max(len(name) for name, _ in shown)
    height = max(FLOOR + BELOW, TOP + ROW * (len(shown) + 1))
    parts = [f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img">']
    for x in across.ticks():
        parts.append(_line(across.at(x), TOP, across.at(x), FLOOR))
        parts.append(_text(across.at(x), FLOOR + 15, f"{x:g}", "middle"))
    for y in up.ticks():
        parts.append(_line(LEFT, up.at(y), RIGHT, up.at(y)))
        parts.append(_text(LEFT - 5, up.at(y) + 4, f"{y:g}", "end"))
    parts.append(_text((LEFT + RIGHT) / 2, FLOOR + BELOW - 5, curves[0].x, "middle"))
    parts.append(_text(LEFT, TOP - 8, curves[0].y, "start"))
    for place, (name, found) in enumerate(shown):
        again, colour = divmod(place, len(COLOURS))
        pen = f'stroke="{COLOURS[colour]}" stroke-dasharray="{DASHES[again % len(DASHES)]}"'
        path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in found)
        parts.append(f'<polyline points="{path}" fill="none" {pen} stroke-width="2"/>')
        row = TOP + 12 + ROW * place
        parts.append(f'<path d="M{RIGHT + 8} {row - 4}h20" {pen} stroke-width="2"/>')
        parts.append(_text(RIGHT + LEGEND, row, name, "start", COLOURS[colour]))
    return "".join([*parts, "</svg>"])


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#d8dee4"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#1f2328") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"
