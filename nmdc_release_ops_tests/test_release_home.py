"""Old archives go, and never one that is still needed or anything else in the folder."""

from pathlib import Path

import pytest

from nmdc_release_ops.resources import ReleaseHome


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReleaseHome:
    monkeypatch.setenv("NMDC_RELEASE_HOME", str(tmp_path))
    return ReleaseHome()


def release(home: ReleaseHome, day: int, *, archive: bool = True) -> str:
    name = f"202601{day:02}T000000Z-1.0.0-to-1.1.0-abcdef01"
    folder = home.release(name)
    (folder / "transformer").mkdir()
    if archive:
        (folder / "archive").mkdir()
        (folder / "archive" / "manifest.json").write_text("{}")
    return name


def left(home: ReleaseHome) -> list[str]:
    return sorted(folder.name for folder in (home.path / "releases").iterdir())


def test_the_newest_archives_stay_and_older_ones_go(home: ReleaseHome) -> None:
    names = [release(home, day) for day in range(1, 8)]
    assert home.prune(5, set()) == [names[1], names[0]]
    assert left(home) == names[2:]
    assert home.prune(5, set()) == []


def test_what_a_rollback_may_need_stays_however_old_it_is(home: ReleaseHome) -> None:
    names = [release(home, day) for day in range(1, 5)]
    home.prune(1, {names[0]})
    assert left(home) == [names[0], names[3]]


def test_a_release_that_never_had_an_archive_does_not_count_and_goes_with_its_time(home: ReleaseHome) -> None:
    old, dumped, failed = release(home, 1, archive=False), release(home, 2), release(home, 3, archive=False)
    home.prune(1, set())
    assert left(home) == [dumped, failed]
    assert old not in left(home)


def test_what_is_no_release_is_left_alone(home: ReleaseHome) -> None:
    release(home, 1)
    (home.path / "releases" / "notes").mkdir()
    release(home, 2)
    home.prune(1, set())
    assert "notes" in left(home)
