"""What lies in the home belongs to an origin and a database; large files go when nothing needs them, reports never do."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from nmdc_release_ops.mongo.archive.manifest import read_manifest
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.identity import ServerIdentity
from nmdc_release_ops.records.data_release import Purpose, ReleasePlan
from nmdc_release_ops.resources.release_home import ReleaseHomeResource, Swapped
from nmdc_release_ops_tests.resources.attempts import ORIGIN, attempt, plan

OTHER = ORIGIN.model_copy(update={"set_id": "6b0612a20cd9172b63e62515"})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReleaseHomeResource:
    monkeypatch.setenv("NMDC_RELEASE_HOME", str(tmp_path))
    return ReleaseHomeResource()


def swapped(*release_ids: str, at: int) -> Swapped:
    return Swapped(release_ids, ClusterTime(seconds=at, increment=1))


def test_archives_are_counted_by_releases_that_swapped_and_not_by_attempts(home: ReleaseHomeResource) -> None:
    first, failed, second, third = (attempt(home, plan(day), dumped=day) for day in range(1, 5))
    in_force = swapped(third, second, first, at=5)
    assert home.superseded(plan(4), in_force, 2) == [first, failed]
    assert home.superseded(plan(4), in_force, 3) == [failed]


def test_an_attempt_that_was_dumped_after_the_newest_swap_stays_whatever_the_clock_of_its_machine_said(
    home: ReleaseHomeResource,
) -> None:
    failed, released = attempt(home, plan(1), dumped=9), attempt(home, plan(2), dumped=2)
    assert home.superseded(plan(2), swapped(released, at=5), 1) == []
    assert home.superseded(plan(2), swapped(released, at=10), 1) == [failed]


def test_nothing_is_superseded_where_no_release_is_known_to_have_swapped(home: ReleaseHomeResource) -> None:
    for day in range(1, 4):
        attempt(home, plan(day), dumped=day)
    attempt(home, plan(4), dumped=None)
    assert home.superseded(plan(4), Swapped((), None), 1) == []


def test_an_archive_that_was_never_complete_is_of_no_use(home: ReleaseHomeResource) -> None:
    partial, released = attempt(home, plan(1), dumped=None), attempt(home, plan(2), dumped=2)
    assert home.superseded(plan(2), swapped(released, at=5), 1) == [partial]


def test_the_newest_rehearsals_are_kept_by_their_archives_and_what_failed_before_them_is_not(
    home: ReleaseHomeResource,
) -> None:
    release = attempt(home, plan(1), dumped=1)
    rehearsals = [plan(day).model_copy(update={"purpose": Purpose.REHEARSAL}) for day in range(2, 7)]
    first, killed, second, third, running = (
        attempt(home, one, dumped=dumped) for one, dumped in zip(rehearsals, (2, None, 4, 5, None), strict=True)
    )
    assert home.rehearsals(rehearsals[0]) == [first, killed, second, third, running]
    assert home.older_rehearsals(rehearsals[-1], 1) == [first, killed, second]
    assert home.older_rehearsals(rehearsals[-1], 2) == [first, killed]
    assert home.older_rehearsals(rehearsals[-1], 3) == [killed]
    # A step of it may be executed again.
    assert home.older_rehearsals(rehearsals[0], 1) == [killed, second]
    assert release not in home.rehearsals(rehearsals[0])


@pytest.mark.parametrize("other", [plan(3, OTHER), plan(3, database="nmdc_test")], ids=["server", "database"])
def test_releases_of_another_origin_or_database_are_not_seen(home: ReleaseHomeResource, other: ReleasePlan) -> None:
    old, new = attempt(home, plan(1), dumped=1), attempt(home, plan(2), dumped=2)
    attempt(home, other, dumped=1)
    assert home.superseded(plan(2), swapped(new, at=5), 1) == [old]
    assert home.release_ids(plan(2)) == [old, new]


def test_the_members_tell_origins_apart_whose_sets_do_not_tell_their_id(home: ReleaseHomeResource) -> None:
    one, two = (
        ServerIdentity(set_name="rs0", set_id=None, members=members) for members in (("a:27017",), ("b:27017",))
    )
    assert home.releases(plan(1, one)) != home.releases(plan(1, two))


def test_the_folder_of_an_origin_is_readable_and_safe(home: ReleaseHomeResource) -> None:
    odd = ORIGIN.model_copy(update={"set_name": "../rs 0" + "x" * 100})
    folder = home.releases(plan(1, odd)).parent
    assert folder.parent == home.path / "origins"
    assert folder.name.startswith("nmdc-___rs_0xxx") and len(folder.name) < 100
    assert home.releases(plan(1)).parent.name.startswith("nmdc-rs0-")


def test_large_files_go_and_reports_and_the_manifest_stay(home: ReleaseHomeResource) -> None:
    old = attempt(home, plan(1), dumped=1)
    assert (home.remove_large_files(plan(2), old) or 0) >= 100_000
    folder = home.release(plan(1))
    left = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert left == ["attempts/001-abcdef01/validation.html", "manifest.json", "manifest.json.sha256"]
    assert read_manifest(folder).release_id == old
    assert home.remove_large_files(plan(2), old) is None


def test_a_removal_that_was_cut_short_is_finished_the_next_time(home: ReleaseHomeResource) -> None:
    old, new = attempt(home, plan(1), dumped=1), attempt(home, plan(2), dumped=2)
    home.archive(plan(1)).rename(home.release(plan(1)) / "archive.removed")
    assert home.superseded(plan(2), swapped(new, at=5), 1) == [old]
    assert (home.remove_large_files(plan(2), old) or 0) >= 100_000
    assert not list(home.release(plan(1)).glob("archive*"))


def test_files_that_a_step_works_with_in_another_process_are_not_claimed(home: ReleaseHomeResource) -> None:
    attempt(home, plan(1), dumped=1)
    using = (
        "import sys\nfrom nmdc_release_ops.records.data_release import Purpose, ReleasePlan\n"
        "from nmdc_release_ops.resources.release_home import ReleaseHomeResource\n"
        "plan = ReleasePlan.model_validate_json(sys.argv[1])\n"
        "with ReleaseHomeResource().use(plan): print('using', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", using, plan(1).model_dump_json()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as step:
        assert step.stdout and step.stdin
        assert step.stdout.readline() == b"using\n"
        with home.claim(plan(2), plan(1).release_id) as is_free:
            assert not is_free
        step.stdin.close()
    with home.claim(plan(2), plan(1).release_id) as is_free:
        assert is_free


def test_each_run_of_a_release_has_its_own_reports_and_the_newest_come_last(home: ReleaseHomeResource) -> None:
    runs = ["aaaaaaaa-1111", "00000000-2222", "bbbbbbbb-3333"]
    folders = [home.attempt(plan(1), run) for run in runs]
    assert [folder.name for folder in folders] == ["001-aaaaaaaa", "002-00000000", "003-bbbbbbbb"]
    assert home.attempt(plan(1), runs[1]) == folders[1]


def test_releases_of_versions_that_recorded_no_origin_are_listed_and_belong_to_none(home: ReleaseHomeResource) -> None:
    before = plan(1).release_id
    (home.path / "releases" / before / "archive").mkdir(parents=True)
    assert home.unassigned() == [before]
    assert home.release_ids(plan(2)) == []


def test_what_another_release_has_linked_to_stays_and_frees_no_room(home: ReleaseHomeResource) -> None:
    rehearsal = plan(1).model_copy(update={"purpose": Purpose.REHEARSAL})
    attempt(home, rehearsal, dumped=1)
    home.identifiers(rehearsal).write_bytes(bytes(100_000))
    alone = plan(2)
    attempt(home, alone, dumped=2)
    home.archive(plan(3)).mkdir()
    linked = home.archive(plan(3)) / "large.bson.gz"
    linked.hardlink_to(home.archive(rehearsal) / "large.bson.gz")
    home.identifiers(plan(3)).hardlink_to(home.identifiers(rehearsal))
    assert (home.remove_large_files(plan(3), alone.release_id) or 0) > 100_000
    freed = home.remove_large_files(plan(3), rehearsal.release_id)
    assert freed is not None
    assert freed < 100_000
    assert home.remove_large_files(plan(3), rehearsal.release_id) is None
    assert not home.identifiers(rehearsal).exists()
    assert (linked.stat().st_size, home.identifiers(plan(3)).stat().st_size) == (100_000, 100_000)


def test_rehearsals_are_found_by_their_origin_the_newest_first(home: ReleaseHomeResource) -> None:
    rehearsals = [plan(day).model_copy(update={"purpose": Purpose.REHEARSAL}) for day in (1, 3, 2)]
    for one in rehearsals:
        attempt(home, one, dumped=None)
    attempt(home, plan(4), dumped=4)
    attempt(home, plan(5, OTHER).model_copy(update={"purpose": Purpose.REHEARSAL}), dumped=5)
    first, third, second = (one.release_id for one in rehearsals)
    assert [folder.name for folder in home.find_rehearsals(ORIGIN, "nmdc")] == [third, second, first]
    assert home.find_rehearsals(ORIGIN, "another") == []


def test_the_ids_of_a_rehearsal_stay_for_its_promotion_and_those_of_a_release_do_not(home: ReleaseHomeResource) -> None:
    rehearsal = plan(1).model_copy(update={"purpose": Purpose.REHEARSAL})
    for one in (rehearsal, plan(2)):
        home.identifiers(one).write_bytes(b"ids")
        (home.release(one) / "promotion").mkdir()
        home.remove_scratch(one)
        assert not (home.release(one) / "promotion").exists()
    assert home.identifiers(rehearsal).exists()
    assert not home.identifiers(plan(2)).exists()


def test_a_page_is_a_link_where_it_is_served_and_a_path_elsewhere(
    home: ReleaseHomeResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = home.path / "origins" / "a b" / "release.html"
    assert home.show(page) == dg.MetadataValue.path(str(page))
    monkeypatch.setenv("NMDC_REPORTS_URL", "https://reports.example.org/nmdc/")
    assert home.show(page) == dg.MetadataValue.url("https://reports.example.org/nmdc/origins/a%20b/release.html")
    # Only pages are to be served: archives are not.
    for other in (page.with_name("archive"), page.with_name("violations.jsonl"), home.path.parent / "release.html"):
        assert home.show(other) == dg.MetadataValue.path(str(other))
