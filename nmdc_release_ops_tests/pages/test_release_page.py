"""The page of a release says what was done and what to do, needs nothing else, and does nothing that the data say."""

import re
import shlex
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from nmdc_release_ops.pages.markdown import summarize
from nmdc_release_ops.pages.release_page import release_page
from nmdc_release_ops.pages.restoring import list_commands
from nmdc_release_ops.pages.sentences import describe_outcome, describe_undoing
from nmdc_release_ops.pages.summary import Blocked, Outcome, ReleaseSummary, Standing, Swap
from nmdc_release_ops.pages.timeline import draw_timeline
from nmdc_release_ops_tests.pages.seen import HOSTILE, Seen, assert_loads_nothing, look_at
from nmdc_release_ops_tests.pages.summaries import (
    RELEASE_ID,
    STARTED,
    after,
    counts,
    failed,
    folder_of,
    hostile,
    rehearsed,
    released,
    rolled_back,
    steps,
)


def page(summary: ReleaseSummary, home: Path, **standing: Any) -> str:
    folder = folder_of(home)
    return release_page(summary, Standing(folder=folder, **standing), home / "releases" / "index.html")


def test_hostile_data_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    seen = look_at(page(hostile(), tmp_path, has_archive=True))
    assert seen.text.count(HOSTILE) > 1_500
    links = [str(attributes["href"]) for tag, attributes in seen.elements if tag == "a"]
    assert links == ["../../../../releases/index.html"]


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    for summary in (hostile(), released(), rehearsed(), rolled_back()):
        assert_loads_nothing(page(summary, tmp_path))


def test_what_was_not_swapped_in_would_change(tmp_path: Path) -> None:
    for summary in (failed(), rehearsed()):
        seen = look_at(page(summary, tmp_path))
        assert "What would change" in seen.text and "documents would change" in seen.text
    assert "documents changed" in look_at(page(released(), tmp_path)).text


def test_an_archive_that_was_removed_has_no_commands(tmp_path: Path) -> None:
    assert "mongorestore" in page(released(), tmp_path, has_archive=True)
    removed = page(released(), tmp_path)
    assert "mongorestore" not in removed and "It was removed" in removed


def test_the_conclusion_of_a_rehearsal_is_shown_while_it_can_be_promoted(tmp_path: Path) -> None:
    assert "was rehearsed" in page(rehearsed(), tmp_path, has_archive=True)
    assert "was rehearsed" not in page(rehearsed(), tmp_path, has_archive=True, followed_by="R9")


def test_a_restore_by_hand_is_completed_in_the_ledger_and_by_dropping_what_the_release_added(tmp_path: Path) -> None:
    seen = unescape(page(released(), tmp_path, has_archive=True))
    assert "The ledger is not in the archive" in seen and '"to_schema_version": "11.23.0"' in seen
    assert 'getCollection("new_set").drop()' in seen
    unknown = page(released(changes=None), tmp_path, has_archive=True)
    assert "created or renamed, if any" in unknown and "The ledger is not in the archive" in unknown


def test_the_commands_name_the_archive_and_hold_no_password() -> None:
    archive = Path("/srv/a folder/archive")
    plain = list_commands(archive, "nmdc", [counts("study_set")], has_oplog=False)
    assert all(shlex.split(one.line)[-1] == str(archive) for one in plain if one.line.startswith("mongorestore"))
    assert "--nsFrom=nmdc.*" in shlex.split(plain[1].line)
    assert {"--nsInclude=nmdc.study_set", "--drop", "--bypassDocumentValidation"} <= set(shlex.split(plain[2].line))
    assert not [one for one in plain if "--oplogReplay" in one.line]
    (replayed,) = [one for one in list_commands(archive, "nmdc", [], has_oplog=True) if "--oplogReplay" in one.line]
    assert "--nsInclude" not in replayed.line


FOLDER = Path("/somewhere")


@pytest.mark.parametrize(
    ("summary", "standing", "outcome", "next_step"),
    [
        (
            released(),
            {},
            "Released: nmdc went from schema 11.23.0 to 11.25.0. Writes were blocked for 38.5 s.",
            "job rollback",
        ),
        (
            released(),
            {"followed_by": "R9"},
            "Released",
            "It can no longer be rolled back: release R9 was swapped in since",
        ),
        (
            released(),
            {"rolled_back": after(60)},
            "It was rolled back at 2026-11-29 22:01:00 UTC.",
            "It was rolled back at",
        ),
        (
            released(outcome=Outcome.FAILED, stopped_in="deploy"),
            {},
            "failed in deploy. The swap is complete",
            "from failure",
        ),
        (
            failed(),
            {},
            "Release 11.23.0 → 11.25.0 failed in validate. The origin's data are as they were.",
            "nothing to undo",
        ),
        (failed(swap=Swap.BEGUN), {}, "stays frozen on purpose", "finish the swap, or launch the job rollback"),
        (
            failed(swap=Swap.UNDOING),
            {},
            "is not finished",
            "Launch the job rollback to finish undoing the swap. Do not re-ex",
        ),
        (failed(swap=Swap.UNDONE), {}, "The swap was undone", "Launch a new release"),
        (failed(swap=Swap.UNKNOWN, blocked=None), {}, "could not be asked", "Launch the job status"),
        (failed(outcome=Outcome.CANCELLED), {}, "was cancelled in validate", "nothing to undo"),
        (
            released(outcome=Outcome.UNDER_WAY, steps=steps("plan")),
            {},
            "under way when this page was written",
            "cancelled or killed",
        ),
        (rehearsed(), {"has_archive": True}, "Nobody was kept from writing", "Launch the job promote"),
        (rehearsed(), {}, "Rehearsed", "It can no longer be promoted: its archive was removed"),
        (rehearsed(outcome=Outcome.FAILED, stopped_in="migrate"), {}, "The origin is as it was.", "new rehearsal"),
        (
            rolled_back(),
            {},
            "Rolled back: nmdc is at schema 11.23.0 again. Writes were blocked for 0.9 s.",
            "new release",
        ),
        (
            rolled_back(outcome=Outcome.FAILED, swap=Swap.UNDOING),
            {},
            "is not finished",
            "Launch the job rollback again",
        ),
    ],
)
def test_the_outcome_and_what_to_do_are_a_sentence_each(
    summary: ReleaseSummary, standing: dict[str, Any], outcome: str, next_step: str
) -> None:
    known = Standing(folder=FOLDER, **standing)
    assert outcome in describe_outcome(summary, known)
    assert next_step in " ".join(describe_undoing(summary, known))


def test_every_bar_of_the_timeline_is_within_it_and_can_be_seen() -> None:
    runs = [*steps("plan", "freeze", "unfreeze")]
    drawn = draw_timeline(runs, [Blocked(since=after(-100), until=after(9_000))], STARTED, after(46))
    bars = re.findall(r'<rect class="(\w+)" x="([\d.]+)%" y="\d+" width="([\d.]+)%"', drawn)
    assert {kind for kind, _, _ in bars} == {"band", "blocked", "succeeded"}
    assert all(float(x) >= 0 and float(width) > 0.5 and float(x) + float(width) <= 100.01 for _, x, width in bars)


def test_a_timeline_of_a_moment_is_drawn() -> None:
    assert "<svg" in draw_timeline(steps("plan"), [], STARTED, STARTED)
    assert "<svg" in draw_timeline(steps("plan"), [Blocked(since=after(1), until=None)], STARTED, after(5))


def test_the_short_form_is_markdown_in_which_data_are_no_marks(tmp_path: Path) -> None:
    standing = Standing(folder=folder_of(tmp_path), has_archive=True)
    text = summarize(hostile(), standing, Path("/x/release.html"), lambda _: None)
    assert "<script" not in text.replace("\\<", "")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in rows)

    def address(path: Path) -> str | None:
        return f"https://reports.example.org/{path.name}" if path.suffix == ".html" else None

    served = summarize(released(), standing, Path("/x/release.html"), address)
    assert "| page | https://reports.example.org/release.html |" in served
    assert f"{RELEASE_ID}/archive" in served.replace("\\", "")


def test_the_page_shows_the_names_of_what_it_shows(tmp_path: Path) -> None:
    seen = Seen(page(released(), tmp_path, has_archive=True))
    for text in ("biosample_set", "a no-op, not run", "dangling reference", "old_set → new_set", "38.5 s"):
        assert text in seen.text
