"""`nmdc-release status`: the state of the origin, once or again and again."""

import time
from collections.abc import Callable, Iterator
from json import dumps
from pathlib import Path

import typer
from pymongo.errors import PyMongoError
from rich.console import Group
from rich.live import Live
from rich.text import Text

from nmdc_release_ops.command.origin import Origin, open_origin, release_home
from nmdc_release_ops.command.screen import conceal, explaining, grid, screen
from nmdc_release_ops.mongo.state.step_report import Stage
from nmdc_release_ops.status.advice import Urgency
from nmdc_release_ops.status.newest import begin_to_find_newest
from nmdc_release_ops.status.report import StatusReport, read_status
from nmdc_release_ops.status.words import describe_hold, describe_release, describe_step

UNKNOWN = 3
"""The exit status if the state cannot be read."""
_COLOURS = {Urgency.NOTHING: "green", Urgency.WAIT: "yellow", Urgency.ACT: "red"}


def show_status(*, json: bool, watch: bool, seconds: float) -> None:
    """Show the state of the origin.

    Args:
        seconds: between two updates.
    """
    with explaining(UNKNOWN):
        home = release_home()
        newest = begin_to_find_newest(home)
        with open_origin() as origin:
            if watch:
                # Nobody waits for the package index.
                _watch(origin, home, lambda: newest.result() if newest.done() else None, json=json, seconds=seconds)
                return
            status = read_status(origin.database, origin.uri, home, newest.result())
    if json:
        typer.echo(status.model_dump_json(indent=2))
    else:
        screen().print(_render(status))
    raise typer.Exit(1 if status.next.urgency is Urgency.ACT else 0)


def _watch(origin: Origin, home: Path, newest: Callable[[], str | None], *, json: bool, seconds: float) -> None:
    """Show it again and again, until the user interrupts."""

    def look() -> StatusReport | str:
        try:
            return read_status(origin.database, origin.uri, home, newest())
        except PyMongoError as error:
            return conceal(f"The origin does not answer at the moment: {str(error).split(', Timeout:')[0]}")

    console = screen()
    try:
        if not json and console.is_terminal:
            with Live(console=console, auto_refresh=False) as live:
                for found in _again(look, seconds):
                    live.update(_render(found) if isinstance(found, StatusReport) else Text(found), refresh=True)
            return
        before = ""
        for found in _again(look, seconds):
            if json:
                typer.echo(found.model_dump_json() if isinstance(found, StatusReport) else dumps({"error": found}))
                continue
            with console.capture() as capture:
                console.print(_render(found) if isinstance(found, StatusReport) else Text(found))
            if (text := capture.get()) != before:
                typer.echo(text)
            before = text
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _again(look: Callable[[], StatusReport | str], seconds: float) -> Iterator[StatusReport | str]:
    while True:
        yield look()
        time.sleep(seconds)


def _render(status: StatusReport) -> Group:
    version = status.schema_version or "unknown: the ledger does not say"
    newest = status.newest_schema_release or "unknown: the package index does not say"
    rows: list[tuple[str, str | Text]] = [
        ("database", f"{status.origin} ({status.server})"),
        ("schema", f"{version}; the newest published is {newest}"),
        ("writes", Text(status.writes, style="yellow" if status.writes_blocked else "")),
    ]
    if status.hold is not None:
        rows.append(("held by", describe_hold(status.hold)))
    rows += [("at work", describe_step(one)) for one in status.working if one.stage is not Stage.DONE]
    names = ("releases", *[""] * len(status.releases))
    rows += zip(names, map(describe_release, status.releases), strict=False)
    rows += [("rollback", status.rollback.says), ("promotion", status.promotion.says)]
    rows += [("warning", Text(warning, style="red")) for warning in status.warnings]
    rows.append(("next", Text(status.next.says, style=f"bold {_COLOURS[status.next.urgency]}")))
    return Group(grid(rows))
