"""`nmdc-release archives` lists archives, verifies one in full, and prints the commands that restore it."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from nmdc_release_ops.folders import REHEARSAL, releases_folder
from nmdc_release_ops.mongo.archive.manifest import Manifest
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import cluster_time
from nmdc_release_ops.mongo.server.identity import ServerIdentity
from nmdc_release_ops.mongo.server.progress import unlogged
from nmdc_release_ops.mongo.transfer.dump import dump
from nmdc_release_ops.mongo.transfer.dump_unfrozen import dump_unfrozen
from nmdc_release_ops_tests.command.running import CONTROL, flat, run
from nmdc_release_ops_tests.pages.summaries import released

DATABASE = "command_archives"
OLDER, NEWER = "20260101T000000Z-11.23.0-to-11.24.0-0123abcd", "20260202T000000Z-11.24.0-to-11.25.0-4567cdef"
ODD = "odd*set"


@pytest.fixture(scope="module")
def origin(scratch_mongod: PrivateMongod) -> Iterator[Any]:
    with MongoClient[Any](scratch_mongod.uri) as client:
        database = client[DATABASE]
        database["a_set"].insert_many(
            {"_id": number, "id": f"nmdc:{number}", "pad": "x" * 500} for number in range(40_000)
        )
        database[ODD].insert_one({"_id": ObjectId()})
        yield database
        client.drop_database(DATABASE)


@pytest.fixture(scope="module")
def made(origin: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the archive of a release, and the one of a rehearsal."""
    home = tmp_path_factory.mktemp("archives")
    folder = releases_folder(home, ServerIdentity(set_name="rs0", set_id="0" * 24), DATABASE)
    for release in (OLDER, NEWER):
        (folder / release).mkdir(parents=True)
    (folder / NEWER / REHEARSAL).touch()
    dump(origin, ["a_set", ODD], folder / OLDER / "archive", release_id=OLDER, cluster_time=cluster_time(origin.client))
    dump_unfrozen(origin, ["a_set", ODD], folder / NEWER / "archive", release_id=NEWER, log=unlogged)
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, which a test may damage. No database is needed."""
    shutil.copytree(made, tmp_path / "home")
    monkeypatch.setenv("NMDC_RELEASE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NMDC_ORIGIN_URI", raising=False)
    return tmp_path / "home"


def archive_of(home: Path, release: str) -> Path:
    (found,) = home.glob(f"origins/*/releases/{release}/archive")
    return found


def manifest_of(home: Path, release: str) -> Manifest:
    return Manifest.model_validate_json((archive_of(home, release) / "manifest.json").read_bytes())


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


def test_the_list_shows_the_newest_first_with_versions_size_and_kind(home: Path) -> None:
    found = run("archives", "list", columns=60)
    assert found.exit_code == 0, found.output
    assert found.output.index(NEWER) < found.output.index(OLDER)
    text = flat(found.output)
    assert "rehearsal 11.24.0 -> 11.25.0, dumped " in text
    assert "release 11.23.0 -> 11.24.0, dumped " in text
    assert "40,001 documents in 2 collections" in text
    assert max(map(len, found.output.splitlines())) <= 60 and not CONTROL.search(found.output)
    told = json.loads(run("archives", "list", "--json").output)
    assert [(one["release_id"], one["documents"], one["is_rehearsal"]) for one in told] == [
        (NEWER, 40_001, True),
        (OLDER, 40_001, False),
    ]


def test_the_list_of_an_empty_home_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_RELEASE_HOME", str(tmp_path))
    assert run("archives", "list").output == f"There is no archive in {tmp_path} (NMDC_RELEASE_HOME).\n"


@pytest.mark.parametrize("release", [OLDER, NEWER, "20260202"], ids=["release", "rehearsal", "beginning"])
def test_an_archive_is_as_it_was_dumped(home: Path, release: str) -> None:
    found = run("archives", "verify", release)
    assert found.exit_code == 0, found.output
    assert "is as it was dumped: 2 collections, 40,001 documents" in found.output


def test_every_damaged_block_is_named_by_collection_and_number(home: Path) -> None:
    (archived,) = (one for one in manifest_of(home, OLDER).collections if one.name == "a_set")
    assert len(archived.blocks) > 2
    for number in (1, 3):
        flip(archive_of(home, OLDER) / archived.file, archived.blocks[number - 1].offset + 20)
    found = run("archives", "verify", OLDER)
    assert found.exit_code == 1
    text = flat(found.output)
    for number in (1, 3):
        assert f"Block {number} of {len(archived.blocks)} of a_set is not what was dumped" in text
    assert "Block 2 of" not in text and "Traceback" not in text


def test_files_that_are_missing_cut_changed_or_added_are_named(home: Path) -> None:
    folder, manifest = archive_of(home, NEWER), manifest_of(home, NEWER)
    a_set, odd = sorted(manifest.collections, key=lambda one: one.name)
    (folder / odd.file).unlink()
    with (folder / a_set.file).open("ab") as file:
        file.truncate(a_set.file_bytes - 1)
    flip(folder / a_set.metadata_file, 20)
    flip(folder / "oplog.bson", 5)
    (folder / "added").touch()
    found = run("archives", "verify", NEWER)
    assert found.exit_code == 1
    text = flat(found.output)
    assert f"{ODD}: {folder / odd.file} is missing" in text
    assert f"{folder / a_set.file} is shorter than the blocks of a_set" in text
    assert f"{folder / a_set.metadata_file} is not what was dumped" in text
    assert f"{folder / 'oplog.bson'} is not what was dumped" in text
    assert f"{folder / 'added'} is not part of the archive" in text


def test_a_changed_manifest_is_reported_and_not_believed(home: Path) -> None:
    path = archive_of(home, OLDER) / "manifest.json"
    path.write_text(path.read_text().replace("a_set", "b_set"))
    found = run("archives", "verify", OLDER)
    assert found.exit_code == 1 and "changed since the archive was made" in flat(found.output)
    listed = run("archives", "list")
    assert listed.exit_code == 0 and "changed since the archive was made" in flat(listed.output)


def test_an_archive_that_there_is_not_is_bad_usage_and_those_that_there_are_are_named(home: Path) -> None:
    found = run("archives", "verify", "20270101")
    assert found.exit_code == 2
    assert "No archive begins with '20270101'" in found.output and OLDER in found.output


def commands(*arguments: str) -> list[list[str]]:
    """The words of each command that is printed, without the one that writes the connection string into a file."""
    found = run("archives", "commands", *arguments, columns=60)
    assert found.exit_code == 0, found.output
    lines = [line for line in found.output.splitlines() if line and not line.startswith(("#", "("))]
    return [shlex.split(line) for line in lines]


def test_the_commands_restore_everything_and_replay_the_oplog_only_where_there_is_one(home: Path) -> None:
    copy, in_place = commands(OLDER)
    assert copy[0] == in_place[0] == "mongorestore"
    assert {"--nsFrom=command_archives.*", "--nsTo=command_archives_copy.*"} <= set(copy)
    assert "--drop" in in_place and "--oplogReplay" not in in_place
    assert in_place[-1] == str(archive_of(home, OLDER))
    copy, in_place = commands(NEWER)
    assert "--oplogReplay" in in_place and "--oplogReplay" not in copy


def test_they_say_how_the_ledger_is_told_and_what_the_release_added_is_dropped(home: Path) -> None:
    text = flat(run("archives", "commands", OLDER).output)
    assert "The ledger is not in the archive" in text and "created or renamed, if any" in text
    (told,) = re.findall(r"insertOne\(\{created_at: new Date\(\)\.toISOString\(\), (.*?)\}\)", text)
    event = json.loads(f"{{{told}}}")
    assert event["event"] == "MIGRATION_COMPLETED"
    assert (event["from_schema_version"], event["to_schema_version"]) == ("11.24.0", "11.23.0")
    (archive_of(home, OLDER).parent / "release.json").write_text(released().model_dump_json())
    text = flat(run("archives", "commands", OLDER).output)
    assert '.getCollection("new_set").drop()' in text and "created or renamed, if any" not in text
    of_one = flat(run("archives", "commands", OLDER, "a_set").output)
    assert "_migration_events" not in of_one and "the form of schema 11.23.0" in of_one


def test_the_commands_of_a_collection_match_no_other(home: Path) -> None:
    copy, in_place = commands(OLDER, ODD)
    assert "--nsInclude=command_archives.odd\\*set" in copy
    assert {"--nsInclude=command_archives.odd\\*set", "--drop"} <= set(in_place)
    found = run("archives", "commands", OLDER, "no_set")
    assert found.exit_code == 2 and "The archive has no collection no_set. It has: a_set, odd*set." in flat(
        found.output
    )


def test_no_command_shows_the_connection_string(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_ORIGIN_URI", "mongodb://operator:s3cret-word@127.0.0.1/")
    output = run("archives", "commands", OLDER).output
    assert "s3cret" not in output and "127.0.0.1" not in output
    assert '"$NMDC_ORIGIN_URI"' in output and "--uri" not in output
