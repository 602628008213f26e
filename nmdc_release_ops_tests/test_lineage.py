"""A record is known by its content, names what it was made from, and cannot be changed without being noticed."""

import json
from pathlib import Path

import pytest

from nmdc_release_ops.lineage import (
    CollectionsDisagree,
    LineageBroken,
    collect_digests,
    require_lineage,
    require_same_data,
)
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection
from nmdc_release_ops.mongo.difference.changes import ChangeSet, Rename
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.records.data_release import Archive, FreezeWindow, MigratedDatabase, ValidationReport
from nmdc_release_ops.records.record import Record, RecordAltered, RecordUnreadable


class Note(Record):
    text: str


class LaterNote(Record):
    """The same record in a later version of the project."""

    text: str
    tone: str = "plain"


def read(record: Record) -> Record:
    """The record as the next step gets it."""
    return type(record).from_json(record.to_json().encode())


def test_a_record_that_is_read_has_the_digest_that_it_was_written_with() -> None:
    note = Note(text="one", made_from={"plan": "0"})
    assert read(note).digest == note.digest
    assert note.digest != Note(text="two", made_from={"plan": "0"}).digest
    assert note.digest != Note(text="one", made_from={"plan": "1"}).digest


def test_a_later_version_of_the_project_reads_a_record_under_the_same_digest() -> None:
    note = Note(text="one")
    later = LaterNote.from_json(note.to_json().encode())
    assert (later.tone, later.digest) == ("plain", note.digest)


def test_a_record_that_was_edited_is_refused() -> None:
    written = json.loads(Note(text="one").to_json())
    written["record"]["text"] = "two"
    with pytest.raises(RecordAltered, match="was written with"):
        Note.from_json(json.dumps(written).encode())
    written["record"]["text"] = "one"
    assert Note.from_json(json.dumps(written, indent=7).encode()).text == "one"


@pytest.mark.parametrize(
    "text", [b"", b"null", b"[]", b'{"text": "one"}', b'{"record": 1, "sha256": ""}', b"\xff", b"[" * 9999]
)
def test_what_is_not_a_record_is_refused(text: bytes) -> None:
    with pytest.raises((RecordUnreadable, RecordAltered)):
        Note.from_json(text)


def test_a_record_of_another_kind_is_refused() -> None:
    with pytest.raises(RecordUnreadable, match="this version of the project cannot read it"):
        FreezeWindow.from_json(Note(text="one").to_json().encode())


def test_records_that_were_made_from_each_other_are_accepted_and_no_others() -> None:
    plan = Note(text="plan")
    dump = Note(text="dump", made_from=collect_digests(plan=plan))
    migrate = Note(text="migrate", made_from=collect_digests(plan=plan, dump=dump))
    validate = Note(text="validate", made_from=collect_digests(plan=plan, migrate=migrate))
    require_lineage(plan=read(plan), dump=read(dump), migrate=read(migrate), validate=read(validate))

    again = Note(text="dump, executed again", made_from=collect_digests(plan=plan))
    with pytest.raises(LineageBroken, match="Re-execute this run from `migrate`"):
        require_lineage(plan=plan, dump=again, migrate=migrate, validate=validate)
    migrated_again = Note(text="migrate, executed again", made_from=collect_digests(plan=plan, dump=dump))
    with pytest.raises(LineageBroken, match="Re-execute this run from `validate`"):
        require_lineage(plan=plan, dump=dump, migrate=migrated_again, validate=validate)
    # A validation knows the archive too, although it is handed only the migrated database.
    with pytest.raises(LineageBroken, match="`dump` was executed again, but `validate` was not"):
        require_lineage(plan=plan, dump=again, validate=validate)
    with pytest.raises(LineageBroken):
        require_lineage(plan=plan, dump=Note(text="dump"))


BEFORE = {"changed_set": "1", "kept_set": "2", "gone_set": "3", "old_set": "4", "wandering_set": "5"}
AFTER = {"changed_set": "11", "kept_set": "2", "new_set": "6", "renamed_set": "44", "moved_set": "5"}
CHANGES = ChangeSet(
    changed=["changed_set"],
    created=["new_set"],
    renamed=[
        Rename(old="old_set", new="renamed_set", changed=True),
        Rename(old="wandering_set", new="moved_set", changed=False),
    ],
    deleted=["gone_set"],
    untouched=["kept_set"],
)


def archive(hashes: dict[str, str] = BEFORE, manifest: str = "a") -> Archive:
    collections = [
        ArchivedCollection(
            name=name, documents=1, bytes=1, file="", file_bytes=1, sha256="", metadata_file="", metadata_sha256="", hash=hash_,
            options={}, indexes=[],
        )
        for name, hash_ in hashes.items()
    ]  # fmt: skip
    time = ClusterTime(seconds=1, increment=1)
    return Archive(path=Path("/archive"), manifest_sha256=manifest, cluster_time=time, collections=collections)


def migrated(hashes: dict[str, str] = AFTER, changes: ChangeSet = CHANGES) -> MigratedDatabase:
    documents = dict.fromkeys(hashes, 1)
    return MigratedDatabase(
        manifest_sha256="a",
        database="t",
        definitions={},
        migrators=[],
        changes=changes,
        documents=documents,
        hashes=hashes,
    )


def validation(hashes: dict[str, str] = AFTER) -> ValidationReport:
    return ValidationReport(
        documents=5,
        identifiers=5,
        references=0,
        violations=0,
        tolerated=0,
        by_kind={},
        violations_path=Path("/v"),
        page_path=Path("/p"),
        hashes=hashes,
    )


def test_data_that_were_dumped_migrated_and_validated_are_accepted() -> None:
    require_same_data(archive(), migrated(), validation())


@pytest.mark.parametrize(
    ("a", "m", "v", "named"),
    [
        (archive(), migrated(), validation({**AFTER, "changed_set": "12"}), "changed_set was not validated"),
        (archive(), migrated(), validation({k: v for k, v in AFTER.items() if k != "kept_set"}), "kept_set was not validated"),
        (archive(), migrated(), validation({**AFTER, "more_set": "1"}), "more_set was not validated"),
        (archive({**BEFORE, "kept_set": "0"}), migrated(), validation(), "kept_set is listed as untouched"),
        (archive({**BEFORE, "kept_set": ""}), migrated(), validation(), "kept_set is listed as untouched"),
        (archive({**BEFORE, "wandering_set": "0"}), migrated(), validation(), "moved_set is listed as untouched"),
        (archive({**BEFORE, "extra_set": "0"}), migrated(), validation(), "extra_set is in the dump, and 0 times"),
        (archive(manifest="b"), migrated(), validation(), "another archive"),
        (
            archive(),
            migrated(changes=CHANGES.model_copy(update={"changed": [], "untouched": ["kept_set", "changed_set"]})),
            validation(),
            "changed_set is listed as untouched and differs from the dump",
        ),
        (
            archive(),
            migrated(changes=CHANGES.model_copy(update={"untouched": []})),
            validation(),
            "kept_set is in the dump, and 0 times",
        ),
        (
            archive(),
            migrated(changes=CHANGES.model_copy(update={"created": ["new_set", "phantom_set"]})),
            validation(),
            "phantom_set is not in the migration, and 1 times",
        ),
    ],
)  # fmt: skip
def test_data_that_differ_between_the_steps_are_refused_by_name(
    a: Archive, m: MigratedDatabase, v: ValidationReport, named: str
) -> None:
    with pytest.raises(CollectionsDisagree, match=named):
        require_same_data(a, m, v)
