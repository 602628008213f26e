"""What every engine does: dump, load and stage."""

from collections.abc import Iterable
from pathlib import Path

from nmdc_release_ops.mongo.archive.manifest import Engine, Manifest
from nmdc_release_ops.mongo.programs.database_tools import find_tools
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Connected
from nmdc_release_ops.mongo.server.progress import Log, Report
from nmdc_release_ops.mongo.transfer.dump import dump as dump_natively
from nmdc_release_ops.mongo.transfer.load import load as load_natively
from nmdc_release_ops.mongo.transfer.mongodump import dump_with_mongodump
from nmdc_release_ops.mongo.transfer.mongorestore import load_with_mongorestore, stage_with_mongorestore
from nmdc_release_ops.mongo.transfer.on_demand import PartialLoad
from nmdc_release_ops.mongo.transfer.stage import Staged
from nmdc_release_ops.mongo.transfer.stage import stage as stage_natively
from nmdc_release_ops.mongo.transfer.tool_trial import try_tools


def require_engine(engine: Engine) -> str:
    """Describe the engine for people, with the version of the tools that it runs.

    Raises:
        ToolsMissing: the Database Tools are not installed, or too old.
    """
    if engine is Engine.NATIVE:
        return engine.value
    return f"{engine.value} (Database Tools {find_tools()})"


def try_engine(engine: Engine, server: Connected, *, whose: str, folder: Path, log: Log) -> None:
    """Check that the engine's tools can dump from a server and restore to it; nothing is read or written.

    Args:
        whose: what to call the server in errors.
        folder: of the release.
        log: receives what the tools log.

    Raises:
        ToolUnusable, AddressUnresolved: see `try_tools`.
    """
    if engine is Engine.MONGO_TOOLS:
        try_tools(server.uri, server.database.name, whose=whose, folder=folder, log=log)


def dump(
    engine: Engine,
    origin: Connected,
    names: Iterable[str],
    folder: Path,
    *,
    release_id: str,
    cluster_time: ClusterTime,
    report: Report,
    log: Log,
) -> Manifest:
    """Write collections of a frozen database to the new folder `folder`.

    Args:
        report: receives the driver's progress.
        log: receives what the tools log.

    Raises:
        DumpFailed, HashUnavailable: see `mongo.transfer.dump.dump`.
    """
    if engine is Engine.NATIVE:
        return dump_natively(
            origin.database, names, folder, release_id=release_id, cluster_time=cluster_time, report=report
        )
    return dump_with_mongodump(
        origin.database, origin.uri, names, folder, release_id=release_id, cluster_time=cluster_time, log=log
    )


def load(engine: Engine, folder: Path, manifest: Manifest, transformer: Connected, *, report: Report, log: Log) -> None:
    """Load a whole archive, whichever engine wrote it, into the emptied transformer, and prove that it is the same.

    Raises:
        ArchiveDamaged, LoadFailed: see `mongo.transfer.load.load`.
    """
    if engine is Engine.NATIVE:
        load_natively(folder, manifest, transformer.database, report=report)
    else:
        load_with_mongorestore(folder, manifest, transformer.database, transformer.uri, report=report, log=log)
    log(f"Loaded {manifest.documents:,} documents; counts and hashes are the origin's.")


def begin_load(
    engine: Engine,
    folder: Path,
    manifest: Manifest,
    transformer: Connected,
    *,
    everything: bool = False,
    report: Report,
    log: Log,
) -> PartialLoad:
    """Begin to load an archive, whichever engine wrote it, into the emptied transformer.

    The engine `mongo-tools` loads everything at once, because `mongorestore` restores whole archives.

    Args:
        everything: whether to load all documents at once. Otherwise each collection is loaded when it is asked for.

    Raises:
        ArchiveDamaged, LoadFailed: see `mongo.transfer.load.load`.
    """
    if engine is Engine.NATIVE and not everything:
        return PartialLoad.begin(folder, manifest, transformer.database, report=report)
    load(engine, folder, manifest, transformer, report=report, log=log)
    return PartialLoad(folder, manifest, transformer.database, loaded=True, report=report)


def stage(
    engine: Engine,
    transformer: Connected,
    origin: Connected,
    name: str,
    expected_hash: str,
    *,
    folder: Path,
    report: Report,
    log: Log,
) -> Staged:
    """Copy a collection of the transformer into the origin under its staged name, and verify it.

    Args:
        expected_hash: `dbHash` of the collection that was validated.
        folder: of the release.

    Raises:
        StagingFailed: see `mongo.transfer.stage.stage`.
    """
    if engine is Engine.NATIVE:
        return stage_natively(transformer.database, origin.database, name, expected_hash, report=report)
    return stage_with_mongorestore(transformer, origin, name, expected_hash, folder=folder, report=report, log=log)
