"""Cost against size, as an SVG for light and dark pages."""

import math
from collections.abc import Sequence
from html import escape

from bench.report.results import Measured
from bench.report.summary import show_seconds

_WIDTH, _HEIGHT = 800, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 280, 20, 50
_LINE = 17

# Name, keys of the rows that are added up, and the colours on light and on dark pages.
_SERIES = (
    ("today: LinkML and refscan", ("validate.theirs", "refscan.theirs"), "#b3261e", "#ff8a80"),
    ("today: the migration CLI", ("today",), "#9a5b00", "#ffb74d"),
    ("ours: a whole release", ("release.changing",), "#1f5fa8", "#82b1ff"),
    ("ours: writes blocked", ("release.changing.blocked",), "#7a5195", "#d0a9f5"),
    ("ours: blocked, nothing changes", ("release.unchanged.blocked",), "#00696e", "#4dd0e1"),
    ("ours: validate", ("validate.ours",), "#2e7d32", "#81c784"),
)

Point = tuple[int, float]


def plot(results: Sequence[Measured]) -> str | None:
    """Seconds against documents, both logarithmic; None with fewer than two sizes."""
    lines: list[tuple[int, str, list[Point]]] = []
    for number, (name, keys, _, _) in enumerate(_SERIES):
        points = [(one.documents, seconds) for one in results if (seconds := one.seconds(*keys))]
        if len(points) > 1:
            lines.append((number, name, points))
    if not lines:
        return None
    counts = sorted({count for _, _, points in lines for count, _ in points})
    took = [seconds for _, _, points in lines for _, seconds in points]
    low, high = math.floor(math.log10(min(took))), math.ceil(math.log10(max(took)))

    def x(count: float) -> float:
        share = math.log10(count / counts[0]) / math.log10(counts[-1] / counts[0])
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(seconds: float) -> float:
        return _HEIGHT - _BOTTOM - (math.log10(seconds) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_head()]
    for power in range(low, high + 1):
        at = y(10.0**power)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 8}" y="{at + 4:.1f}">{10.0**power:g} s</text>')
    parts += [f'<text class="middle" x="{x(one):.1f}" y="{_HEIGHT - _BOTTOM + 20}">{one:,}</text>' for one in counts]
    parts.append(f'<text class="middle" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}">documents</text>')
    labels = _spread([y(points[-1][1]) for _, _, points in lines])
    for (number, name, points), label in zip(lines, labels, strict=True):
        path = " ".join(f"{x(count):.1f},{y(seconds):.1f}" for count, seconds in points)
        parts.append(f'<polyline class="s{number}" points="{path}"/>')
        parts += [f'<circle class="s{number}" cx="{x(c):.1f}" cy="{y(s):.1f}" r="3.5"/>' for c, s in points]
        text = escape(f"{name}: {show_seconds(points[-1][1])}")
        parts.append(f'<text class="s{number}" x="{_WIDTH - _RIGHT + 12}" y="{label + 4:.1f}">{text}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _spread(heights: Sequence[float]) -> list[float]:
    """The heights of labels, moved apart where they would overlap, and kept within the picture."""
    order = sorted(range(len(heights)), key=lambda number: heights[number])
    moved = list(heights)
    for before, number in zip([None, *order], order, strict=False):
        if before is not None:
            moved[number] = max(moved[number], moved[before] + _LINE)
    lowest = float(_HEIGHT - _BOTTOM)
    for number in reversed(order):
        moved[number] = min(moved[number], lowest)
        lowest = moved[number] - _LINE
    return moved


def _head() -> str:
    def colours(column: int) -> str:
        return "\n".join(
            f"polyline.s{number} {{ stroke: {series[column]}; }} "
            f"circle.s{number}, text.s{number} {{ fill: {series[column]}; }}"
            for number, series in enumerate(_SERIES)
        )

    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"
 aria-label="Seconds against documents, both logarithmic">
<style>
svg {{ font: 13px system-ui, sans-serif; background: #fff; }}
text {{ fill: #333; }} .end {{ text-anchor: end; }} .middle {{ text-anchor: middle; }}
.grid {{ stroke: #ddd; }} polyline {{ fill: none; stroke-width: 2.5; }}
{colours(2)}
@media (prefers-color-scheme: dark) {{
svg {{ background: #161b22; }} text {{ fill: #ccc; }} .grid {{ stroke: #333; }}
{colours(3)}
}}
</style>"""
