"""A step that cannot write a file, or finds the archive damaged, fails with words for an operator, and changes nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops_tests.prepared_release import PreparedRelease, failed_plainly, prepared
from nmdc_release_ops_tests.workplace import Workplace, make_workplace

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3_000)]

FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, warm_schema: Path) -> Iterator[Workplace]:
    for workplace in make_workplace(tmp_path_factory.mktemp("unwritable"), warm_schema, scale=500):
        with MongoClient[Any](workplace.origin.server.uri) as client:
            # A violation that the data have already, so that the archive is looked into.
            client[DATABASE].data_object_set.update_one(
                {"was_generated_by": {"$exists": True}}, {"$set": {"was_generated_by": "nmdc:wfmgan-11-nobody.1"}}
            )
        yield workplace


@pytest.fixture(scope="module")
def release(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedRelease]:
    with prepared(workplace, tmp_path_factory.mktemp("prepared"), patience=60) as made:
        yield made


@pytest.fixture
def folder(workplace: Workplace, release: PreparedRelease) -> Path:
    """Of the release."""
    (found,) = (workplace.home / "origins").glob("*/releases/*")
    return found


def _full_disk(file: Path) -> str:
    """The file can be opened, and nothing fits into it."""
    file.symlink_to(FULL)
    return "No space left on device"


def _folder_in_the_way(file: Path) -> str:
    """For files that are written aside: a link would be replaced."""
    file.mkdir()
    return "Is a directory"


@pytest.mark.parametrize(
    ("step", "name", "spoil"),
    [
        ("validate", "violations.jsonl", _full_disk),
        ("validate", "validation.json", _full_disk),
        ("validate", "validation.html", _folder_in_the_way),
        ("migrate", "difference.json", _folder_in_the_way),
        ("migrate", "difference.html", _folder_in_the_way),
    ],
)
def test_a_report_that_cannot_be_written_is_named_whatever_it_is(
    release: PreparedRelease,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    step: str,
    name: str,
    spoil: Callable[[Path], str],
) -> None:
    # The run's own folder for its reports is not known before.
    folder = folder / "attempts" / tmp_path.name
    folder.mkdir()
    monkeypatch.setattr(ReleaseHomeResource, "attempt", lambda *_: folder)
    reason = spoil(folder / name)
    description = failed_plainly(release.execute([step]))
    assert f"{folder / name} could not be written: {reason}. Make room" in description
    assert "docs/runbook.md, FileNotWritten" in description
    release.assert_nothing_lost()


def test_validation_refuses_an_archive_that_is_not_what_was_dumped(release: PreparedRelease, folder: Path) -> None:
    file = folder / "archive" / DATABASE / "data_object_set.bson.gz"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        description = failed_plainly(release.execute(["validate"]))
    finally:
        file.write_bytes(whole)
    assert f"{file}" in description and "is not what was dumped" in description
    assert "docs/runbook.md, ArchiveDamaged" in description
    release.assert_nothing_lost()
