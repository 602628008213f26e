"""What people ask of the benchmark: today's tools beside this project at each size, as a short table and as a plot."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from bench.table import Row

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 210, 30, 50


@dataclass(frozen=True)
class Series:
    """The seconds of some rows together, at each size.

    Attributes:
        rows: part and name of each row that is added up.
    """

    name: str
    rows: Sequence[tuple[str, str]]

    def seconds(self, rows: Iterable[Row]) -> dict[int, float]:
        """Seconds by number of documents, where all rows were measured."""
        wanted = set(self.rows)
        found: dict[int, list[float]] = {}
        for row in rows:
            if (row.part, row.what) in wanted and row.seconds is not None:
                found.setdefault(row.documents, []).append(row.seconds)
        return {documents: sum(parts) for documents, parts in found.items() if len(parts) == len(wanted)}


TODAY_MIGRATES = Series("the release's own adapter", [("migrate", "the release's `MongoAdapter`")])
WE_MIGRATE = Series("our adapter", [("migrate", "our adapter")])
TODAY_VALIDATES = Series(
    "LinkML and refscan", [("validate", "LinkML's `Validator`, document by document"), ("refscan", "`refscan` 0.4.4")]
)
WE_VALIDATE = Series("our validate", [("validate", "our `validate`, undamaged data")])
RELEASE = Series("a whole release", [("unchanged", "a release to 11.24.0")])
BLOCKED = Series("writes blocked", [("unchanged", "&nbsp; writes blocked, to 11.24.0")])
NOTHING_CHANGED = Series("a release that changes nothing", [("unchanged", "a release to 11.25.0")])

TABLE: list[tuple[str, Series | None, Series]] = [
    ("run the migrators of 11.24.0", TODAY_MIGRATES, WE_MIGRATE),
    ("validate every document and every reference", TODAY_VALIDATES, WE_VALIDATE),
    ("a whole release that changes three collections", None, RELEASE),
    ("&nbsp; of which writes are blocked", None, BLOCKED),
    ("a whole release that changes nothing", None, NOTHING_CHANGED),
]
PLOTTED = (TODAY_VALIDATES, RELEASE, BLOCKED, WE_VALIDATE)


def summarize(rows: Sequence[Row]) -> list[str]:
    """The short table, in Markdown."""
    sizes = sorted({row.documents for row in rows})
    lines = [
        "| what | documents | today's tools | this project | ratio |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for what, today, ours in TABLE:
        theirs, mine = today.seconds(rows) if today else {}, ours.seconds(rows)
        for documents in sizes:
            if documents not in mine:
                continue
            their_seconds = theirs.get(documents)
            cells = (
                what,
                f"{documents:,}",
                f"{their_seconds:.1f} s" if their_seconds else "",
                f"{mine[documents]:.1f} s",
                f"**{their_seconds / mine[documents]:.0f}**" if their_seconds else "",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def plot(rows: Sequence[Row]) -> str | None:
    """Seconds against documents, both logarithmic, as an SVG for light and dark pages; None with fewer than two sizes."""
    lines = [(series.name, sorted(series.seconds(rows).items())) for series in PLOTTED]
    lines = [(name, points) for name, points in lines if len(points) > 1]
    if not lines:
        return None
    documents = [math.log10(one) for _, points in lines for one, _ in points]
    seconds = [math.log10(one) for _, points in lines for _, one in points]
    low, high = math.floor(min(seconds)), math.ceil(max(seconds))

    def x(count: float) -> float:
        share = (math.log10(count) - min(documents)) / (max(documents) - min(documents))
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(took: float) -> float:
        return _HEIGHT - _BOTTOM - (math.log10(took) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_HEAD]
    for power in range(low, high + 1):
        at = y(10.0**power)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 8}" y="{at + 4:.1f}">{10.0**power:g} s</text>')
    for count in sorted({one for _, points in lines for one, _ in points}):
        parts.append(f'<text class="middle" x="{x(count):.1f}" y="{_HEIGHT - _BOTTOM + 20}">{count:,}</text>')
    parts.append(f'<text class="middle" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 10}">documents</text>')
    labels = _spread([y(points[-1][1]) for _, points in lines])
    for number, ((name, points), label) in enumerate(zip(lines, labels, strict=True)):
        path = " ".join(f"{x(count):.1f},{y(took):.1f}" for count, took in points)
        parts.append(f'<polyline class="s{number}" points="{path}"/>')
        parts += [f'<circle class="s{number}" cx="{x(c):.1f}" cy="{y(t):.1f}" r="3.5"/>' for c, t in points]
        text = f"{name}: {points[-1][1]:.1f} s"
        parts.append(f'<text class="s{number}" x="{_WIDTH - _RIGHT + 10}" y="{label + 4:.1f}">{escape(text)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _spread(heights: Sequence[float], least: float = 16) -> list[float]:
    """The heights, moved down where labels would overlap."""
    moved = dict.fromkeys(range(len(heights)), 0.0)
    last = -math.inf
    for number in sorted(range(len(heights)), key=lambda number: heights[number]):
        last = max(heights[number], last + least)
        moved[number] = last
    return [moved[number] for number in range(len(heights))]


_HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"
 aria-label="Seconds against documents">
<style>
svg {{ font: 13px system-ui, sans-serif; background: #fff; }}
text {{ fill: #333; }} .end {{ text-anchor: end; }} .middle {{ text-anchor: middle; }}
.grid {{ stroke: #ddd; }} polyline {{ fill: none; stroke-width: 2.5; }}
polyline.s0 {{ stroke: #b3261e; }} polyline.s1 {{ stroke: #1f5fa8; }} polyline.s2 {{ stroke: #7a5195; }}
polyline.s3 {{ stroke: #2e7d32; }}
circle.s0, text.s0 {{ fill: #b3261e; }} circle.s1, text.s1 {{ fill: #1f5fa8; }} circle.s2, text.s2 {{ fill: #7a5195; }}
circle.s3, text.s3 {{ fill: #2e7d32; }}
@media (prefers-color-scheme: dark) {{
svg {{ background: #161b22; }} text {{ fill: #ccc; }} .grid {{ stroke: #333; }}
polyline.s0 {{ stroke: #ff8a80; }} polyline.s1 {{ stroke: #82b1ff; }} polyline.s2 {{ stroke: #d0a9f5; }}
polyline.s3 {{ stroke: #81c784; }}
circle.s0, text.s0 {{ fill: #ff8a80; }} circle.s1, text.s1 {{ fill: #82b1ff; }} circle.s2, text.s2 {{ fill: #d0a9f5; }}
circle.s3, text.s3 {{ fill: #81c784; }}
}}
</style>"""
