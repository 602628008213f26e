"""Either engine reads what the other wrote, and what comes out is exactly what went in.

Each pair of engines dumps as the operator from a guarded origin and loads into a transformer.
"""

import gzip
import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_plus

import bson
import pytest
from bson import Timestamp
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.archive.adopt import adopt
from nmdc_release_ops.mongo.archive.manifest import (
    MANIFEST,
    MANIFEST_DIGEST,
    ArchiveDamaged,
    Engine,
    Manifest,
    read_manifest,
    verify,
)
from nmdc_release_ops.mongo.operator_role import OPERATOR_ROLE, operator_role
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.collections import collection_hashes, list_collections
from nmdc_release_ops.mongo.server.comparison import comparable_indexes
from nmdc_release_ops.mongo.server.progress import silent
from nmdc_release_ops.mongo.server.raw import may_hold_empty_timestamp
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.transfer import engine
from nmdc_release_ops.mongo.transfer.load import load
from nmdc_release_ops.mongo.transfer.stage import StagingFailed
from nmdc_release_ops_tests.database_tools import ENGINES, PAIRS, needs_tools
from nmdc_release_ops_tests.mongo.odd_data import (
    IDENTIFIERS,
    LARGEST,
    LONG_MISREAD_NAMES,
    NEVER_EXACT,
    ODD_NAMES,
    VALUES,
    documents_of,
    fill,
    put_empty_timestamps,
)
from nmdc_release_ops_tests.mongo.transfer.side import Side
from nmdc_release_ops_tests.workplace import PROJECT

ORIGIN = "contract"
TRANSFORMER = "contract_transformer"
USER = "operator of the contract"
PASSWORD = "p@ss/word: contract"
EMPTY_TIMESTAMPS = "empty_timestamps_set"


@pytest.fixture(scope="module")
def administrator(guarded_mongod: PrivateMongod) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](guarded_mongod.uri) as client:
        client.admin.command("createRole", OPERATOR_ROLE, **operator_role(ORIGIN))
        client.admin.command("createUser", USER, pwd=PASSWORD, roles=[OPERATOR_ROLE])
        yield client
        client.admin.command("dropUser", USER)
        client.admin.command("dropRole", OPERATOR_ROLE)
        client.drop_database(ORIGIN)


@pytest.fixture(scope="module")
def origin(administrator: MongoClient[Any], guarded_mongod: PrivateMongod) -> Iterator[Side]:
    """As the operator sees it."""
    fill(administrator[ORIGIN])
    put_empty_timestamps(administrator[ORIGIN])
    administrator[ORIGIN].left_alone.insert_one({})
    administrator[ORIGIN].create_collection("a_view", viewOn="plain_set", pipeline=[])
    uri = guarded_mongod.uri_for(USER, PASSWORD, "admin")
    with MongoClient[Any](uri) as client:
        yield Side(client[ORIGIN], uri)


@pytest.fixture(scope="module")
def names(origin: Side) -> list[str]:
    """Of the collections in the release: all but a view and one that the release leaves alone."""
    return sorted(set(origin.database.list_collection_names()) - {"a_view", "left_alone", "system.views"})


@pytest.fixture(scope="module")
def transformer(scratch_mongod: PrivateMongod) -> Iterator[Side]:
    with MongoClient[Any](scratch_mongod.uri) as client:
        yield Side(client[TRANSFORMER], scratch_mongod.uri)
        client.drop_database(TRANSFORMER)


@dataclass(frozen=True)
class Exchange:
    """What one engine dumped and another, or the same, has loaded."""

    folder: Path
    manifest: Manifest
    copy: Database[Any]
    logged: list[str]


def dumped(by: Engine, origin: Side, names: list[str], folder: Path, logged: list[str]) -> Manifest:
    return engine.dump(
        by,
        origin,
        names,
        folder,
        release_id="contract",
        cluster_time=ClusterTime(seconds=1, increment=1),
        report=silent,
        log=logged.append,
    )


@pytest.fixture(scope="module", params=PAIRS)
def exchange(
    request: Any, origin: Side, transformer: Side, names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Exchange:
    dumps, loads = request.param
    folder = tmp_path_factory.mktemp("release") / "archive"
    logged: list[str] = []
    dumped(dumps, origin, names, folder, logged)
    manifest = read_manifest(folder)
    assert manifest.engine is dumps
    engine.load(loads, folder, manifest, transformer, report=silent, log=logged.append)
    return Exchange(folder, manifest, transformer.database, logged)


def test_every_document_comes_back_byte_for_byte_and_in_the_same_order(
    exchange: Exchange, origin: Side, names: list[str]
) -> None:
    for name in names:
        assert documents_of(exchange.copy, name) == documents_of(origin.database, name), name
    assert len(documents_of(exchange.copy, "values_set")) == len(VALUES) + 6
    assert len(documents_of(exchange.copy, "identifiers_set")) == len(IDENTIFIERS)
    assert [len(document) for document in documents_of(exchange.copy, "large_set")] == [LARGEST]
    assert len(documents_of(exchange.copy, "capped_set")) == 50


def test_the_server_hashes_both_alike_and_the_manifest_says_so(
    exchange: Exchange, origin: Side, names: list[str]
) -> None:
    expected = collection_hashes(origin.database, names)
    assert collection_hashes(exchange.copy, names) == expected
    assert {one.name: one.hash for one in exchange.manifest.collections} == expected


def test_options_and_indexes_come_back_exactly(exchange: Exchange, origin: Side, names: list[str]) -> None:
    before, after = list_collections(origin.database, names), list_collections(exchange.copy)
    assert before.keys() == after.keys() == set(names)
    for name, was in before.items():
        assert dict(after[name].options) == dict(was.options), name
        assert comparable_indexes(after[name].indexes) == comparable_indexes(was.indexes), name
    assert len(before["indexed_set"].indexes) == 17
    assert before["collation_set"].indexes[0]["collation"]["locale"] == "fr"
    assert {"capped", "size", "max"} <= before["capped_set"].options.keys()
    assert before["clustered_set"].options["clusteredIndex"]["name"] == "an index of its own name"


def test_only_the_collections_of_the_release_are_in_it_whatever_they_are_called(
    exchange: Exchange, names: list[str]
) -> None:
    assert {one.name for one in exchange.manifest.collections} == set(names) > set(ODD_NAMES)
    verify(exchange.folder, exchange.manifest)
    assert len(list(exchange.folder.rglob("*.gz"))) == 2 * len(names)


def test_nobody_else_may_read_an_archive_and_no_password_is_in_it_or_in_the_log(exchange: Exchange) -> None:
    for path in (exchange.folder, exchange.folder / ORIGIN):
        assert path.stat().st_mode & 0o077 == 0
    assert [path.name for path in exchange.folder.parent.iterdir()] == ["archive"]
    assert PASSWORD not in (exchange.folder / "manifest.json").read_text() + "\n".join(exchange.logged)


@pytest.mark.parametrize("by", ENGINES)
def test_a_collection_is_staged_exactly_by_the_operator(
    by: Engine, origin: Side, transformer: Side, names: list[str], tmp_path: Path
) -> None:
    natively = tmp_path / "archive"
    load(natively, dumped(Engine.NATIVE, origin, names, natively, []), transformer.database)
    hashes = collection_hashes(transformer.database, names)
    for name in set(names) - {EMPTY_TIMESTAMPS, "capped_set"}:
        staged_name = STAGED + name
        staged = engine.stage(
            by, transformer, origin, name, hashes[name], folder=tmp_path, report=silent, log=lambda line: None
        )
        assert staged.hash == hashes[name]
        assert documents_of(origin.database, staged_name) == documents_of(transformer.database, name), name
        origin.database.drop_collection(staged_name)
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


@pytest.mark.parametrize("by", ENGINES)
def test_what_is_staged_other_than_it_was_validated_is_refused(
    by: Engine, origin: Side, transformer: Side, tmp_path: Path
) -> None:
    transformer.database.client.drop_database(TRANSFORMER)
    transformer.database.plain_set.insert_one({"_id": 1})
    with pytest.raises(StagingFailed, match="plain_set was validated with hash"):
        engine.stage(
            by, transformer, origin, "plain_set", "0" * 32, folder=tmp_path, report=silent, log=lambda line: None
        )
    origin.database.drop_collection(STAGED + "plain_set")


def test_the_operator_cannot_stage_an_empty_timestamp_and_is_told_so(
    administrator: MongoClient[Any], origin: Side, transformer: Side, tmp_path: Path
) -> None:
    """Only an update can write one, and the operator's role holds no privilege to update."""
    transformer.database.client.drop_database(TRANSFORMER)
    put_empty_timestamps(transformer.database)
    expected = collection_hashes(transformer.database, [EMPTY_TIMESTAMPS])[EMPTY_TIMESTAMPS]

    def stage() -> Any:
        return engine.stage(
            Engine.NATIVE,
            transformer,
            origin,
            EMPTY_TIMESTAMPS,
            expected,
            folder=tmp_path,
            report=silent,
            log=lambda line: None,
        )

    with pytest.raises(
        StagingFailed, match=r"'empty timestamp' holds an empty timestamp.*grant the user the action update"
    ):
        stage()
    update = {"resource": {"db": ORIGIN, "collection": ""}, "actions": ["update"]}
    administrator.admin.command("grantPrivilegesToRole", OPERATOR_ROLE, privileges=[update])
    assert stage().hash == expected
    administrator.admin.command("revokePrivilegesFromRole", OPERATOR_ROLE, privileges=[update])
    origin.database.drop_collection(STAGED + EMPTY_TIMESTAMPS)


def test_a_folder_without_a_manifest_is_adopted_and_from_then_on_watched_over(
    origin: Side, transformer: Side, names: list[str], tmp_path: Path
) -> None:
    """What ours writes beside a manifest is what `mongodump --gzip` writes, but for what it says of views and itself."""
    folder = tmp_path / "dump"
    ours = dumped(Engine.NATIVE, origin, names, folder, [])
    for name in (MANIFEST, MANIFEST_DIGEST):
        (folder / name).unlink()
    (folder / "prelude.json.gz").write_bytes(gzip.compress(b"{}"))
    view = {"options": {"viewOn": "plain_set"}, "indexes": [], "collectionName": "a_view", "type": "view"}
    (folder / ORIGIN / "a_view.metadata.json.gz").write_bytes(gzip.compress(json.dumps(view).encode()))
    adopted = adopt(folder, ORIGIN)
    assert adopted.other_files.keys() == {"prelude.json.gz", f"{ORIGIN}/a_view.metadata.json.gz"}
    assert sorted(one.name for one in adopted.collections) == sorted(one.name for one in ours.collections)
    assert {one.name: one.sha256 for one in adopted.collections} == {one.name: one.sha256 for one in ours.collections}
    load(folder, read_manifest(folder), transformer.database)
    assert collection_hashes(transformer.database, names) == collection_hashes(origin.database, names)
    before, after = list_collections(origin.database, names), list_collections(transformer.database)
    for name, was in before.items():
        assert dict(after[name].options) == dict(was.options), name
        assert comparable_indexes(after[name].indexes) == comparable_indexes(was.indexes), name
    (folder / "prelude.json.gz").write_bytes(b"")
    with pytest.raises(ArchiveDamaged, match=r"prelude\.json\.gz is not what was dumped"):
        load(folder, read_manifest(folder), transformer.database)


@pytest.mark.parametrize(
    "content",
    [b"", b"not gzipped", gzip.compress(b"not JSON"), gzip.compress(b"{}")[:-9]],
    ids=["empty", "not gzipped", "not JSON", "cut short"],
)
def test_a_folder_that_cannot_be_read_is_not_adopted(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ArchiveDamaged, match="holds no collections"):
        adopt(tmp_path, ORIGIN)
    (tmp_path / ORIGIN).mkdir()
    (tmp_path / ORIGIN / "a_set.metadata.json.gz").write_bytes(content)
    with pytest.raises(ArchiveDamaged, match=r"a_set\.metadata\.json\.gz cannot be read"):
        adopt(tmp_path, ORIGIN)
    assert not (tmp_path / MANIFEST).exists()


PLAINLY = ("--gzip", "--maintainInsertionOrder", "--bypassDocumentValidation")


def by_hand(tool: str, *arguments: str) -> None:
    subprocess.run([str(shutil.which(tool)), *arguments], check=True)


@needs_tools
def test_people_restore_an_archive_of_ours_with_plain_mongorestore(
    origin: Side, scratch_mongod: PrivateMongod, names: list[str], tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    exact = sorted(set(names) - set(NEVER_EXACT))
    dumped(Engine.NATIVE, origin, exact, archive, [])
    by_hand("mongorestore", f"--uri={scratch_mongod.uri}", *PLAINLY, str(archive))
    with MongoClient[Any](scratch_mongod.uri) as client:
        restored = client[ORIGIN]
        assert sorted(restored.list_collection_names()) == exact
        assert collection_hashes(restored, exact) == collection_hashes(origin.database, exact)
        for name in exact:
            documents = documents_of(origin.database, name)
            if not any(map(may_hold_empty_timestamp, documents)):
                assert documents_of(restored, name) == documents, name
        client.drop_database(ORIGIN)


def commands_of_the_docs() -> list[list[str]]:
    """The `mongorestore` commands that docs/archives.md gives for restoring by hand, as a shell splits them."""
    _, _, section = (PROJECT / "docs" / "archives.md").read_text().partition("\n## Restore one by hand\n")
    lines = section.partition("\n## ")[0].splitlines()
    return [shlex.split(line) for line in lines if line.startswith("    mongorestore ")]


@needs_tools
def test_the_commands_of_the_docs_restore_every_document_past_a_validator(
    guarded_mongod: PrivateMongod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything, one = commands_of_the_docs()
    uri = f"{guarded_mongod.uri}&authSource=admin"
    with MongoClient[Any](uri) as client:
        source = client["nmdc"]
        older = [{"_id": 3, "id": "nmdc:3"}, {"_id": 1}, {"_id": 2}]
        source.biosample_set.insert_many(older)
        source.command("collMod", "biosample_set", validator={"id": {"$exists": True}})
        source["a+b"].insert_one({"_id": "a+b"})
        side = Side(source, uri)
        dumped(Engine.NATIVE, side, ["biosample_set", "a+b"], tmp_path / "archive", [])
        monkeypatch.chdir(tmp_path)
        Path("config.yaml").write_text(f'uri: "{uri}"\n')
        by_hand(*everything)
        copy = client["nmdc_copy"]
        assert list(copy.biosample_set.find()) == older
        assert list(copy["a+b"].find()) == [{"_id": "a+b"}]
        assert sorted(copy.list_collection_names()) == ["a+b", "biosample_set"]
        source.biosample_set.delete_one({"_id": 3})
        by_hand(*one)
        assert list(source.biosample_set.find()) == older
        for name in ("nmdc", "nmdc_copy"):
            client.drop_database(name)


@needs_tools
def test_names_that_mongorestore_would_misread_come_back_however_they_were_dumped_and_loaded(
    scratch_mongod: PrivateMongod, transformer: Side, tmp_path: Path
) -> None:
    with MongoClient[Any](scratch_mongod.uri) as client:
        long_names = Side(client["long_names"], scratch_mongod.uri)
        for name in LONG_MISREAD_NAMES:
            long_names.database[name].insert_one({"_id": name})
        hashes = collection_hashes(long_names.database, LONG_MISREAD_NAMES)
        for dumps in Engine:
            folder = tmp_path / dumps / "archive"
            folder.parent.mkdir()
            manifest = dumped(dumps, long_names, LONG_MISREAD_NAMES, folder, [])
            for loads in Engine:
                engine.load(loads, folder, manifest, transformer, report=silent, log=lambda line: None)
                assert collection_hashes(transformer.database, LONG_MISREAD_NAMES) == hashes
        restorable = LONG_MISREAD_NAMES[:2]
        dumped_again = tmp_path / "by hand"
        engine.load(Engine.NATIVE, folder, manifest, long_names, report=silent, log=lambda line: None)
        dumped(Engine.NATIVE, long_names, restorable, dumped_again, [])
        client.drop_database("long_names")
        by_hand("mongorestore", f"--uri={scratch_mongod.uri}", *PLAINLY, str(dumped_again))
        assert collection_hashes(client["long_names"], restorable) == {name: hashes[name] for name in restorable}
        client.drop_database("long_names")


@needs_tools
@pytest.mark.parametrize("loads", Engine)
def test_an_archive_whose_files_are_named_as_they_used_to_be_is_loaded(
    loads: Engine, origin: Side, transformer: Side, tmp_path: Path
) -> None:
    """The tools of MongoDB 4.2, and this project until it knew better, left a plus and some others as they were."""
    names = ["a+b", "a b", "equals=colon:at@", "plain_set"]
    folder = tmp_path / "archive"
    dumped(Engine.NATIVE, origin, names, folder, [])
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for path in (folder / ORIGIN).iterdir():
        path.rename(renamed / quote(unquote_plus(path.name), safe="$&+:=@"))
    (folder / ORIGIN).rmdir()
    renamed.rename(folder / ORIGIN)
    for name in (MANIFEST, MANIFEST_DIGEST):
        (folder / name).unlink()
    manifest = adopt(folder, ORIGIN)
    assert f"{ORIGIN}/a+b.bson.gz" in manifest.digests and f"{ORIGIN}/a%20b.bson.gz" in manifest.digests
    engine.load(loads, folder, manifest, transformer, report=silent, log=lambda line: None)
    assert collection_hashes(transformer.database, names) == collection_hashes(origin.database, names)


@needs_tools
def test_a_document_with_an_empty_timestamp_keeps_its_place_and_needs_no_update(
    origin: Side, transformer: Side, tmp_path: Path
) -> None:
    """In its `_id`, or nested, a server leaves one alone; `mongorestore` inserts it out of order and then updates it."""
    name, folder = "nested_empty_set", tmp_path / "archive"
    logged: list[str] = []
    manifest = dumped(Engine.MONGO_TOOLS, origin, [name, "plain_set"], folder, logged)
    engine.load(Engine.MONGO_TOOLS, folder, manifest, transformer, report=silent, log=logged.append)
    before = documents_of(origin.database, name)
    assert [bson.decode(document)["_id"] for document in before][20] == Timestamp(0, 0)
    assert documents_of(transformer.database, name) == before
    expected = collection_hashes(transformer.database, [name])[name]
    engine.stage(
        Engine.MONGO_TOOLS, transformer, origin, name, expected, folder=tmp_path, report=silent, log=logged.append
    )
    assert documents_of(origin.database, STAGED + name) == before
    origin.database.drop_collection(STAGED + name)
    assert [line for line in logged if "with the driver" in line] == [
        f"{name} is {done} with the driver: it holds an empty timestamp, Timestamp(0, 0), which mongorestore does not "
        "restore exactly."
        for done in ("loaded", "staged")
    ]
    assert any("finished restoring" in line and "plain_set" in line for line in logged)


@needs_tools
def test_a_folder_that_people_dumped_with_plain_mongodump_is_adopted_and_loaded(
    origin: Side, guarded_mongod: PrivateMongod, transformer: Side, names: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "dump"
    uri = f"{guarded_mongod.uri}&authSource=admin"
    by_hand("mongodump", f"--uri={uri}", f"--db={ORIGIN}", "--gzip", f"--out={folder}")
    manifest = adopt(folder, ORIGIN)
    load(folder, manifest, transformer.database)
    assert collection_hashes(transformer.database, names) == collection_hashes(origin.database, names)
