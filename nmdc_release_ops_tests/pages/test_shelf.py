"""The pages and their list are whole at any moment, and say what is so when they are written."""

import multiprocessing
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from nmdc_release_ops.files import FileNotWritten, lock
from nmdc_release_ops.pages.shelf import index_of, read_summaries, write_pages
from nmdc_release_ops.pages.summary import Outcome
from nmdc_release_ops_tests.full_disk import FULL_DISKS, FullDisk
from nmdc_release_ops_tests.pages.seen import look_at
from nmdc_release_ops_tests.pages.summaries import STARTED, failed, folder_of, rehearsed, released, rolled_back


def release_id(number: int) -> str:
    return f"20261129T22{number:04}Z-11.23.0-to-11.25.0-b5eecdd0"


def write(home: Path, number: int, failing: bool = False) -> Path:
    """Write the pages of a release that began so many minutes later."""
    folder = folder_of(home, release_id(number))
    begun = STARTED + timedelta(minutes=number)
    make = failed if failing else released
    summary = make(release_id=folder.name, started=begun, ended=begun + timedelta(seconds=46), run_id=f"run-{number}")
    write_pages(home, {folder: summary})
    return folder


def texts(home: Path) -> str:
    return look_at(index_of(home).read_text()).text


def test_the_list_has_the_newest_first_and_links_to_each_page(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        write(tmp_path, number, failing=number == 1)
    seen = look_at(index_of(tmp_path).read_text())
    assert seen.text.index("22:02 UTC") < seen.text.index("22:01 UTC") < seen.text.index("22:00 UTC")
    assert "failed in validate" in seen.text and "38.5 s" in seen.text
    links = [str(attributes["href"]) for tag, attributes in seen.elements if tag == "a"]
    assert len(links) == 3
    assert all((index_of(tmp_path).parent / link).resolve().is_file() for link in links)


def test_the_page_of_an_ended_run_is_corrected_unless_another_run_has_written_it_since(tmp_path: Path) -> None:
    killed, again = write(tmp_path, 0), write(tmp_path, 1)
    under_way = {
        folder: released(release_id=folder.name, run_id=folder.name, outcome=Outcome.UNDER_WAY)
        for folder in (killed, again)
    }
    write_pages(tmp_path, under_way)
    write_pages(tmp_path, {again: released(release_id=again.name, run_id="the run that re-executed it")})
    ended = {folder: summary.model_copy(update={"outcome": Outcome.CANCELLED}) for folder, summary in under_way.items()}
    write_pages(tmp_path, {}, ended)
    outcomes = {folder: summary.outcome for folder, summary in read_summaries(tmp_path)}
    assert outcomes == {killed: Outcome.CANCELLED, again: Outcome.SUCCEEDED}


def test_what_is_removed_loses_its_link_and_what_is_gone_vanishes(tmp_path: Path) -> None:
    first, second = write(tmp_path, 0), write(tmp_path, 1)
    (first / "archive").mkdir()
    third = write(tmp_path, 2)
    assert "mongorestore" in (first / "release.html").read_text()
    (first / "archive").rmdir()
    shutil.rmtree(second)
    write(tmp_path, 3)
    assert "mongorestore" not in (first / "release.html").read_text()
    assert "22:01 UTC" not in texts(tmp_path) and "22:00 UTC" in texts(tmp_path)
    assert "can no longer be rolled back" in (third / "release.html").read_text()


def test_a_rollback_is_told_on_the_page_of_its_release(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    write_pages(tmp_path, {folder: released()})
    assert "Launch the job rollback" in (folder / "release.html").read_text()
    write_pages(tmp_path, {folder: rolled_back()})
    assert "It was rolled back at" in (folder / "release.html").read_text()
    assert "rolled back since" in texts(tmp_path)


def test_re_executing_a_step_of_an_earlier_release_does_not_make_it_the_later_one(tmp_path: Path) -> None:
    days = [STARTED + timedelta(days=number) for number in range(4)]
    first, rehearsal, second = (folder_of(tmp_path, release_id(number)) for number in range(3))
    archive = released().archive
    assert archive is not None
    of_first = released(release_id=first.name, started=days[0], swapped_at=days[0])
    write_pages(tmp_path, {first: of_first})
    dumped = archive.model_copy(update={"dumped_at": days[1]})
    write_pages(tmp_path, {rehearsal: rehearsed(release_id=rehearsal.name, started=days[1], archive=dumped)})
    (rehearsal / "archive").mkdir()
    # As on another day, when only `follow_up` is re-executed.
    write_pages(tmp_path, {first: of_first.model_copy(update={"started": days[2]})})
    assert "Launch the job promote" in (rehearsal / "release.html").read_text()
    write_pages(tmp_path, {second: released(release_id=second.name, started=days[2], swapped_at=days[2])})
    assert f"release {second.name} was swapped in since" in (rehearsal / "release.html").read_text()
    again = {"started": days[3], "outcome": Outcome.FAILED, "stopped_in": "follow_up"}
    write_pages(tmp_path, {first: of_first.model_copy(update=again)})
    assert f"release {second.name} was swapped in since" in (first / "release.html").read_text()
    assert "Launch the job rollback, until" in (second / "release.html").read_text()
    # Nor does re-executing a step of a rehearsal make it newer than its data.
    write_pages(tmp_path, {rehearsal: rehearsed(release_id=rehearsal.name, started=days[3], archive=dumped)})
    assert "can no longer be promoted" in (rehearsal / "release.html").read_text()


def test_another_origins_release_does_not_end_the_time_for_a_rollback(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    write_pages(tmp_path, {folder: released()})
    other = folder_of(tmp_path, release_id(5), origin="nmdc-other-0123456789ab")
    write_pages(tmp_path, {other: released(release_id=other.name, started=STARTED + timedelta(hours=1))})
    assert "Launch the job rollback" in (folder / "release.html").read_text()


def test_a_summary_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path, 0)
    (folder / "release.json").write_text('{"from": "another version"}')
    write(tmp_path, 1)
    assert [summary.run_id for _, summary in read_summaries(tmp_path)] == ["run-1"]


def write_many(home: Path, first: int) -> None:
    for number in range(first, first + 12):
        write(home, number)


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(tmp_path, first)) for first in (0, 20, 40)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(list(read_summaries(tmp_path))) == 36
    assert look_at(index_of(tmp_path).read_text()).text.count("11.23.0 → 11.25.0") == 36
    assert not list(tmp_path.rglob("*.partial"))


def test_a_writer_that_must_not_wait_is_told_that_another_one_is_at_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    index_of(tmp_path).parent.mkdir()
    with lock(index_of(tmp_path)), pytest.raises(BlockingIOError):
        write_pages(tmp_path, {folder: released()}, wait=False)
    write_pages(tmp_path, {folder: released()}, wait=False)
    assert "22:00 UTC" in texts(tmp_path)


@FULL_DISKS
def test_where_there_is_no_room_it_is_said_and_the_earlier_pages_stay(tmp_path: Path, full_disk: FullDisk) -> None:
    with full_disk(tmp_path) as message:
        folder = write(tmp_path, 0)
        before = (folder / "release.html").read_text(), index_of(tmp_path).read_text()
        large = released(release_id=folder.name, failure="x" * 3_000_000, outcome=Outcome.FAILED)
        with pytest.raises(FileNotWritten, match=message):
            write_pages(tmp_path, {folder: large})
        assert ((folder / "release.html").read_text(), index_of(tmp_path).read_text()) == before
        assert not list(tmp_path.rglob("*.partial"))
