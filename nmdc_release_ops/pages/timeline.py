"""The steps of a run on a scale of time, as SVG within a page: it is readable at any width, and in light and dark."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from html import escape

from nmdc_release_ops.pages.summary import Blocked, Outcome, StepRun
from nmdc_release_ops.units import duration

_ROW = 38
_BAR = 11
# So that a step of a second can be seen beside one of an hour.
_NARROWEST = 0.6

STYLE = """
.timeline { display: block; width: 100%; margin: 1rem 0 .3rem; overflow: visible; }
.timeline text { font: 14px system-ui, sans-serif; fill: currentColor; }
.timeline .end { text-anchor: end; }
.timeline .aside { fill: var(--quiet); }
.timeline .track { fill: var(--line); opacity: .35; }
.timeline .succeeded { fill: var(--good); }
.timeline .failed, .timeline .cancelled { fill: var(--bad); }
.timeline .under-way { fill: var(--quiet); }
.timeline .blocked { fill: var(--warn); }
.timeline .band { fill: var(--warn); opacity: .16; }
"""


def draw_timeline(steps: Sequence[StepRun], blocked: Sequence[Blocked], started: datetime, ended: datetime) -> str:
    """Draw each step, and the times in which writes were blocked, from the beginning of the run to its end.

    Args:
        blocked: those outside of the run are left out.
    """
    whole = max((ended - started).total_seconds(), 0.001)
    shown = [one for one in blocked if one.since < ended and (one.until or ended) > started]
    spans = [(one.since, one.until or ended) for one in shown]

    def place(moment: datetime) -> float:
        return min(max(100 * (moment - started).total_seconds() / whole, 0), 100)

    rows = len(steps) + bool(spans)
    height = rows * _ROW + 4
    parts = [_band(place(since), place(until), height) for since, until in spans]
    if spans:
        seconds = sum((until - since).total_seconds() for since, until in spans)
        parts += _row(0, "writes blocked", duration(seconds), [(place(a), place(b)) for a, b in spans], "blocked")
    for number, step in enumerate(steps, start=bool(spans)):
        end = step.ended or ended
        took = duration(max(end - step.started, timedelta()).total_seconds())
        note = "" if step.outcome is Outcome.SUCCEEDED else f"{step.outcome} · "
        place_of_step = [(place(step.started), place(end))]
        parts += _row(number, step.name, note + took, place_of_step, step.outcome.value.replace(" ", "-"))
    label = escape(f"{len(steps)} steps in {duration(whole)}")
    return (
        f'<svg class="timeline" role="img" aria-label="{label}" width="100%" height="{height}">{"".join(parts)}</svg>\n'
        f'<p class="scale quiet"><span>{started:%Y-%m-%d %H:%M:%S} UTC</span> '
        f"<span>{duration(whole)} later: {ended:%H:%M:%S}</span></p>\n"
    )


def _band(start: float, end: float, height: int) -> str:
    return f'<rect class="band" x="{start:.2f}%" y="0" width="{end - start:.2f}%" height="{height}"/>'


def _row(number: int, name: str, note: str, spans: Sequence[tuple[float, float]], kind: str) -> Iterator[str]:
    top = number * _ROW
    yield f'<text x="0" y="{top + 15}">{escape(name)}</text>'
    yield f'<text class="end aside" x="100%" y="{top + 15}">{escape(note)}</text>'
    yield f'<rect class="track" x="0" y="{top + 21}" width="100%" height="{_BAR}" rx="2"/>'
    for start, end in spans:
        width = max(end - start, _NARROWEST)
        left = min(start, 100 - width)
        yield f'<rect class="{kind}" x="{left:.2f}%" y="{top + 21}" width="{width:.2f}%" height="{_BAR}" rx="2"/>'
