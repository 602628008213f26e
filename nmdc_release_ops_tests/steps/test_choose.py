"""A promotion takes the newest rehearsal that can be promoted, or says of each why it cannot."""

import gzip
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.files import sha256_of
from nmdc_release_ops.folders import IDENTIFIERS
from nmdc_release_ops.lineage import read_archive, require_lineage
from nmdc_release_ops.mongo.archive.manifest import MANIFEST, MANIFEST_DIGEST, read_manifest, verify, write_manifest
from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops.planning.promotion import take_over
from nmdc_release_ops.planning.rehearsals import NothingToPromote, check_against_origin, read_rehearsal
from nmdc_release_ops.records.data_release import (
    Archive,
    MigratedDatabase,
    Purpose,
    ReleasePlan,
    ValidationReport,
)
from nmdc_release_ops.records.rehearsed import REHEARSED, RehearsalRecords
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops_tests.sent_commands import sent_commands
from nmdc_release_ops_tests.services.webhook_server import loopback_webhook
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

workplace = workplace_fixture(scale=500, warm=True)


@pytest.fixture(scope="module")
def rehearsed(workplace: Workplace) -> ReleasePlan:
    result = workplace.rehearse(target_version="11.24.0")
    assert result.success
    return ReleasePlan.model_validate(result.output_for_node("plan"))


@pytest.fixture
def folder(workplace: Workplace, rehearsed: ReleasePlan) -> Path:
    (found,) = workplace.home.glob(f"origins/*/releases/{rehearsed.release_id}")
    return found


def choose(workplace: Workplace, **config: Any) -> dg.ExecuteInProcessResult:
    """The first step of a promotion."""
    return defs.get_job_def("promote").execute_in_process(
        run_config={"ops": {"choose": {"config": config}}},
        instance=workplace.instance,
        raise_on_error=False,
        op_selection=["choose"],
    )


def refusal(workplace: Workplace, **config: Any) -> str:
    """Why no promotion is possible."""
    step, failure = failure_of(choose(workplace, **config))
    assert step == "choose"
    return str(failure.description)


def chosen(result: dg.ExecuteInProcessResult) -> tuple[ReleasePlan, Archive, MigratedDatabase, ValidationReport]:
    assert result.success
    return (
        result.output_for_node("choose", "plan"),
        result.output_for_node("choose", "archive"),
        result.output_for_node("choose", "migrated"),
        result.output_for_node("choose", "validation"),
    )


@contextmanager
def changed(path: Path, change: Callable[[Path], Any]) -> Iterator[None]:
    """A file or folder is changed, or gone, within the block."""
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    try:
        if aside.is_dir():
            shutil.copytree(aside, path)
        else:
            shutil.copy2(aside, path)
        change(path)
        yield
    finally:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        aside.rename(path)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.fixture(scope="module")
def promotion(
    workplace: Workplace, rehearsed: ReleasePlan
) -> tuple[ReleasePlan, Archive, MigratedDatabase, ValidationReport]:
    assert rehearsed.is_rehearsal
    with MongoClient[Any](workplace.origin.server.uri) as client, untouched(client), sent_commands() as sent:
        found = chosen(choose(workplace, max_frozen_seconds=7, drain_timeout=5, keep_archives=2))
    assert {command.name for command in sent}.isdisjoint({"setUserWriteBlockMode", "fsync", "compact"})
    return found


def test_the_newest_rehearsal_is_promoted_as_it_was_rehearsed(
    rehearsed: ReleasePlan, promotion: tuple[ReleasePlan, Archive, MigratedDatabase, ValidationReport]
) -> None:
    plan, _, _, _ = promotion
    assert (plan.purpose, plan.rehearsal) == (Purpose.PROMOTION, rehearsed.release_id)
    assert (plan.max_frozen_seconds, plan.drain_timeout, plan.keep_archives) == (7, 5, 2)
    # A newer release than that is published.
    assert (plan.from_version, plan.to_version) == ("11.23.0", "11.24.0")
    for field in ("migrators", "managed", "target", "in_force", "recorded_version", "engine", "integrity", "database"):
        assert getattr(plan, field) == getattr(rehearsed, field), field
    assert plan.release_id > rehearsed.release_id
    assert plan.release_id.endswith(plan.run_id[:8])


def test_its_records_belong_together_and_are_those_of_the_promotion(
    workplace: Workplace,
    folder: Path,
    promotion: tuple[ReleasePlan, Archive, MigratedDatabase, ValidationReport],
) -> None:
    plan, archive, migrated, validation = promotion
    require_lineage(plan=plan, dump=archive, migrate=migrated, validate=validation)
    home = ReleaseHomeResource()
    before = RehearsalRecords.read(folder)
    assert archive.path == home.archive(plan)
    assert migrated.changes == before.migrated.changes
    assert migrated.database != before.migrated.database
    assert validation.identifiers_path == home.identifiers(plan)
    assert validation.hashes == before.validation.hashes
    stored = {path.name for path in (workplace.home / "records" / plan.run_id).iterdir()}
    assert stored == {f"choose.{name}.json" for name in ("plan", "archive", "migrated", "validation")}


def test_it_has_an_archive_of_its_own_that_takes_no_room(
    folder: Path, promotion: tuple[ReleasePlan, Archive, MigratedDatabase, ValidationReport]
) -> None:
    _, archive, migrated, _ = promotion
    manifest = read_archive(archive.path, migrated.manifest_sha256)
    verify(archive.path, manifest)
    assert archive.collections == manifest.collections
    for one in manifest.collections:
        assert (archive.path / one.file).samefile(folder / "archive" / one.file)
    assert not list(archive.path.parent.glob(".archive.[0-9]*"))


def test_the_ids_of_all_documents_are_kept(
    rehearsed: ReleasePlan,
    folder: Path,
    client: MongoClient[Any],
    promotion: tuple[ReleasePlan, Archive, MigratedDatabase, ValidationReport],
) -> None:
    path = promotion[3].identifiers_path
    assert path is not None
    assert path.samefile(folder / IDENTIFIERS)
    with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "SELECT name, count(*) FROM identifier JOIN collection ON number = collection GROUP BY name"
        )
        counts = dict(rows.fetchall())
    assert counts["biosample_set"] == client[DATABASE]["biosample_set"].count_documents({})
    assert counts["study_set"] == client[DATABASE]["study_set"].count_documents({})
    assert not list(folder.glob("attempts/*/validating.*"))
    assert rehearsed.is_dumped_unfrozen


def test_a_rehearsal_may_be_removed_when_its_promotion_has_begun(
    workplace: Workplace, rehearsed: ReleasePlan, folder: Path
) -> None:
    plan, archive, migrated, validation = chosen(choose(workplace))
    home = ReleaseHomeResource()
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    try:
        with home.claim(plan, rehearsed.release_id) as is_free:
            assert is_free
            home.remove_large_files(plan, rehearsed.release_id)
        assert not (folder / "archive").exists()
        assert not (folder / IDENTIFIERS).exists()
        verify(archive.path, read_archive(archive.path, migrated.manifest_sha256))
        assert validation.identifiers_path is not None
        assert validation.identifiers_path.is_file()
        text = refusal(workplace)
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)
    assert "No rehearsal can be promoted" in text
    assert f"{rehearsed.release_id}: its archive was removed" in text
    assert "Launch the job `rehearsal`" in text


def test_a_rehearsal_that_is_removed_while_it_is_taken_over_leaves_no_archive(
    workplace: Workplace,
    folder: Path,
    tmp_path: Path,
    promotion: tuple[ReleasePlan, Archive, MigratedDatabase, ValidationReport],
) -> None:
    rehearsal = read_rehearsal(folder, workplace.home / "schema")
    with (
        _lose_collection(folder),
        pytest.raises(NothingToPromote, match=r"was removed while it was taken over.*Launch `promote` again"),
    ):
        take_over(rehearsal, promotion[0], tmp_path, "transformer")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_where_links_are_impossible_the_archive_is_copied(
    workplace: Workplace, folder: Path, promotion: tuple[ReleasePlan, Archive, MigratedDatabase, ValidationReport]
) -> None:
    others = [path for path in (Path("/tmp"), Path("/dev/shm")) if path.stat().st_dev != folder.stat().st_dev]
    if not others:
        pytest.skip("there is no second file system")
    rehearsal = read_rehearsal(folder, workplace.home / "schema")
    with tempfile.TemporaryDirectory(dir=others[0]) as other:
        taken = take_over(rehearsal, promotion[0], Path(other), "transformer")
        verify(taken.archive.path, read_archive(taken.archive.path, taken.migrated.manifest_sha256))
        assert taken.validation.identifiers_path is not None
        assert taken.validation.identifiers_path.read_bytes() == (folder / IDENTIFIERS).read_bytes()


def _cut_collection(folder: Path) -> AbstractContextManager[None]:
    return changed(next((folder / "archive").rglob("biosample_set.bson.gz")), cut)


def _lose_collection(folder: Path) -> AbstractContextManager[None]:
    return changed(next((folder / "archive").rglob("biosample_set.bson.gz")), Path.unlink)


def _change_metadata(folder: Path) -> AbstractContextManager[None]:
    metadata = next((folder / "archive").rglob("biosample_set.metadata.json.gz"))
    return changed(metadata, lambda path: path.write_bytes(gzip.compress(b"{}")))


def _change_manifest(folder: Path) -> AbstractContextManager[None]:
    return changed(folder / "archive" / MANIFEST, lambda path: path.write_text(path.read_text() + " "))


def _lose_archive(folder: Path) -> AbstractContextManager[None]:
    return changed(folder / "archive", shutil.rmtree)


def _dump_again(folder: Path) -> AbstractContextManager[None]:
    def replace(archive: Path) -> None:
        content = (archive / MANIFEST).read_bytes() + b"\n"
        (archive / MANIFEST).write_bytes(content)
        (archive / MANIFEST_DIGEST).write_text(f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n")

    return changed(folder / "archive", replace)


def _cut_ids(folder: Path) -> AbstractContextManager[None]:
    return changed(folder / IDENTIFIERS, cut)


def _lose_ids(folder: Path) -> AbstractContextManager[None]:
    return changed(folder / IDENTIFIERS, Path.unlink)


def _not_complete(folder: Path) -> AbstractContextManager[None]:
    return changed(folder / REHEARSED, Path.unlink)


def _alter_records(folder: Path) -> AbstractContextManager[None]:
    return changed(folder / REHEARSED, lambda path: path.write_text(path.read_text().replace("11.24.0", "11.25.0")))


def _change_records(
    folder: Path, change: Callable[[RehearsalRecords], RehearsalRecords]
) -> AbstractContextManager[None]:
    return changed(folder / REHEARSED, lambda path: change(RehearsalRecords.read(path.parent)).write(path.parent))


def _of_another_version(folder: Path) -> AbstractContextManager[None]:
    def rename(path: Path) -> None:
        path.write_text(json.dumps({"plan": {"sha256": "", "record": {}}}))

    return changed(folder / REHEARSED, rename)


def _without_ids(folder: Path) -> AbstractContextManager[None]:
    def forget(records: RehearsalRecords) -> RehearsalRecords:
        validation = records.validation.model_copy(update={"identifiers_path": None})
        return RehearsalRecords(records.plan, records.migrated, validation)

    return _change_records(folder, forget)


def _of_a_lost_candidate(folder: Path) -> AbstractContextManager[None]:
    def replace(records: RehearsalRecords) -> RehearsalRecords:
        plan = records.plan.model_copy(update={"target": "candidate-0123456789ab", "schema_source": "/gone"})
        return relink(plan, records)

    return _change_records(folder, replace)


def relink(plan: ReleasePlan, records: RehearsalRecords, **migrated_as: Any) -> RehearsalRecords:
    """The records as they would be if the plan, and what was migrated, had been these."""
    plan = ReleasePlan.model_validate(plan.model_dump())
    migrated = MigratedDatabase.model_validate(
        {**records.migrated.model_dump(), **migrated_as, "made_from": {"plan": plan.digest}}
    )
    validation = ValidationReport.model_validate(
        {**records.validation.model_dump(), "made_from": {"plan": plan.digest, "migrate": migrated.digest}}
    )
    return RehearsalRecords(plan, migrated, validation)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_cut_collection, "were dumped"),
        (_lose_collection, "its archive is damaged"),
        (_change_metadata, "is not what was dumped"),
        (_change_manifest, "its archive is damaged"),
        (_lose_archive, "its archive was removed"),
        (_dump_again, "it was dumped again, and not completed since"),
        (_cut_ids, "the ids of its documents are damaged"),
        (_lose_ids, "the ids of its documents are gone"),
        (_not_complete, "it was not completed"),
        (_alter_records, "was changed after it was written"),
        (_of_another_version, "another version of the project made it"),
        (_without_ids, "did not keep the ids of its documents"),
        (_of_a_lost_candidate, "the release candidate candidate-0123456789ab were removed"),
    ],
)
def test_a_rehearsal_that_cannot_be_promoted_is_named_with_its_reason(
    workplace: Workplace,
    rehearsed: ReleasePlan,
    folder: Path,
    damage: Callable[[Path], AbstractContextManager[None]],
    reason: str,
) -> None:
    with damage(folder):
        text = refusal(workplace)
    assert "No rehearsal can be promoted" in text
    assert rehearsed.release_id in text
    assert reason in text
    assert "Launch the job `rehearsal`" in text
    assert "The origin was not touched." in text


def test_people_are_told_what_is_promoted(
    workplace: Workplace, rehearsed: ReleasePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loopback_webhook() as webhook:
        monkeypatch.setenv("NMDC_NOTICE_WEBHOOK", webhook.address)
        assert choose(workplace, rehearsal=rehearsed.release_id).success
    (text,) = webhook.texts
    assert "NMDC promotion planned: schema 11.23.0 -&gt; 11.24.0" in text
    assert "Writes are blocked for a moment" in text


def test_a_rehearsal_can_be_asked_for(workplace: Workplace, rehearsed: ReleasePlan, folder: Path) -> None:
    plan, *_ = chosen(choose(workplace, rehearsal=rehearsed.release_id))
    assert plan.rehearsal == rehearsed.release_id
    text = refusal(workplace, rehearsal="20250101T000000Z-11.23.0-to-11.24.0-00000000")
    assert "There is no rehearsal 20250101T000000Z" in text
    assert f"These are there: {rehearsed.release_id}" in text
    with _lose_archive(folder):
        text = refusal(workplace, rehearsal=rehearsed.release_id)
    assert "This rehearsal cannot be promoted" in text


def test_a_failed_rehearsal_is_passed_over_and_the_one_before_it_is_promoted(
    workplace: Workplace, rehearsed: ReleasePlan, folder: Path
) -> None:
    failed = folder.with_name("20991231T000000Z-11.23.0-to-11.24.0-00000000")
    failed.mkdir()
    (failed / "rehearsal").touch()
    try:
        plan, *_ = chosen(choose(workplace))
    finally:
        shutil.rmtree(failed)
    assert plan.rehearsal == rehearsed.release_id


def test_an_oplog_that_no_longer_reaches_back_is_found_before_anything_is_done(
    workplace: Workplace, rehearsed: ReleasePlan, folder: Path
) -> None:
    def date_back(records: RehearsalRecords) -> RehearsalRecords:
        manifest = read_manifest(folder / "archive")
        write_manifest(
            folder / "archive",
            manifest.model_copy(update={"cluster_time": ClusterTime(seconds=1_700_000_000, increment=1)}),
        )
        return relink(records.plan, records, manifest_sha256=sha256_of(folder / "archive" / MANIFEST))

    with changed(folder / "archive", lambda _: None), _change_records(folder, date_back):
        text = refusal(workplace)
    assert f"{rehearsed.release_id}: the origin's oplog begins at" in text
    assert "after it was dumped (2023-11-14" in text


def test_an_oplog_of_unknown_length_is_a_warning(workplace: Workplace, folder: Path, client: MongoClient[Any]) -> None:
    roles = [{"role": "read", "db": name} for name in (DATABASE, "nmdc_release_ops")]
    client.admin.command("createUser", "reader", pwd="secret", roles=roles)
    try:
        host, port = client.address or ("", 0)
        with MongoClient[Any](host, port, username="reader", password="secret", directConnection=True) as reader:
            warnings = check_against_origin(read_rehearsal(folder, workplace.home / "schema"), reader[DATABASE])
    finally:
        client.admin.command("dropUser", "reader")
    (warning,) = warnings
    assert "not known how far the origin's oplog reaches back" in warning


def test_a_database_that_has_left_the_rehearsed_version_is_not_promoted(
    workplace: Workplace, rehearsed: ReleasePlan, client: MongoClient[Any]
) -> None:
    """Somebody migrated it, or rolled it back."""
    events = client[DATABASE]["_migration_events"]
    last = events.find_one(sort=[("created_at", -1)])
    assert last is not None
    added = events.insert_one(
        {
            **{name: value for name, value in last.items() if name != "_id"},
            "created_at": "2099-01-01T00:00:00+00:00",
            "event": "MIGRATION_COMPLETED",
            "from_schema_version": "11.23.0",
            "to_schema_version": "11.23.1",
        }
    )
    try:
        text = refusal(workplace)
    finally:
        events.delete_one({"_id": added.inserted_id})
    assert f"{rehearsed.release_id}: the database is no longer the one that was rehearsed" in text
    assert "11.23.1" in text


def test_the_data_of_another_release_of_the_same_version_are_not_promoted(
    workplace: Workplace, rehearsed: ReleasePlan, folder: Path
) -> None:
    """As after a release and its rollback, or where a candidate made them."""

    def of_another(records: RehearsalRecords) -> RehearsalRecords:
        return relink(records.plan.model_copy(update={"in_force": "another-release"}), records)

    with _change_records(folder, of_another):
        text = refusal(workplace)
    assert f"{rehearsed.release_id}: the database is no longer the one that was rehearsed" in text
    assert "no release of this project" in text


def test_another_release_that_holds_the_origin_refuses_a_promotion(
    workplace: Workplace, rehearsed: ReleasePlan, client: MongoClient[Any]
) -> None:
    assert rehearsed.is_rehearsal
    freeze(client, "another", "a-run", Strategy.WRITE_BLOCK, database=DATABASE, drain_timeout=10)
    try:
        text = refusal(workplace)
    finally:
        thaw(client, "another", thawed_by="a-run")
    assert "another" in text
    assert "PlanRefused" in text
