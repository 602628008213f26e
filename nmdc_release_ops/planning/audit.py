"""What an audit judges: the collections of the database, by the schema of its own version."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pymongo.database import Database

from nmdc_release_ops.mongo.server.collections import Size, collection_size, list_collections
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.history import History, read_history
from nmdc_release_ops.planning.refusal import PlanRefused
from nmdc_release_ops.schema.environments.environment import BYTES as BYTES_PER_ENVIRONMENT
from nmdc_release_ops.schema.packages.candidate import package_of
from nmdc_release_ops.schema.packages.package import SchemaPackage, SchemaPackages
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.units import size

# The archive is never larger than the data. A collection that people write to is in it twice for a while.
_BYTES_PER_BYTE_OF_DATA = 2


@dataclass(frozen=True)
class AuditPlan:
    """What is judged, and by what.

    Attributes:
        version: of the schema that the database conforms to.
        release: name of the schema release, or candidate, whose schema judges.
        state: differs after a release or a rollback.
        names: the collections that the schema describes, whether they exist or not.
        sizes: of those that exist.
    """

    version: SchemaVersion
    release: str
    state: str
    names: tuple[str, ...]
    sizes: Mapping[str, Size]

    @property
    def documents(self) -> int:
        """Approximately."""
        return sum(one.documents for one in self.sizes.values())


def plan_audit(database: Database[Document], home: Path, schema_folder: Path, free_bytes: int) -> AuditPlan:
    """Find out what an audit has to judge.

    Args:
        home: `NMDC_RELEASE_HOME`.
        schema_folder: where packages of schema releases are kept.
        free_bytes: on the disk of `home`.

    Raises:
        PlanRefused: the version is unknown, a swap is half done, or there is no room.
        SchemaReleaseNotFound, PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed, PackageUnreadable.
        LedgerUnusable.
    """
    history = read_history(database)
    version = _require_version(database.name, history)
    release, package = _find_package(history, version, schema_folder)
    existing = list_collections(database)
    names = [name for name in package.collections() if name not in existing or existing[name].kind == "collection"]
    sizes = {name: collection_size(database, name) for name in sorted(names) if name in existing}
    data = sum(one.bytes for one in sizes.values())
    needed = _BYTES_PER_BYTE_OF_DATA * data + BYTES_PER_ENVIRONMENT
    if free_bytes < needed:
        raise PlanRefused(
            [
                f"NMDC_RELEASE_HOME ({home}) has {size(free_bytes)} free, and an audit of {size(data)} of data needs up to "
                f"{size(needed)} for a while. Make room, or point it at a larger disk."
            ]
        )
    return AuditPlan(version, release, describe_state(history), tuple(sorted(names)), sizes)


def describe_state(history: History) -> str:
    """The last release or rollback, so that another one can be told."""
    newest = history.newest
    return f"{history.version} {newest.release_id} {newest.state}" if newest else f"{history.version}"


def _require_version(database: str, history: History) -> SchemaVersion:
    newest = history.newest
    if newest is not None and newest.is_under_way:
        raise PlanRefused(
            [
                f"The swap of release {newest.release_id} was begun and is neither finished nor undone, so the database is at "
                "no version. Launch the audit again when the release is done."
            ]
        )
    if history.version is None:
        raise PlanRefused(
            [
                f"The ledger of {database} does not say which version of the schema the database conforms to, and an audit "
                "judges by that version. Launch a release with from_version, which records it, and audit afterwards."
            ]
        )
    return SchemaVersion.parse(history.version)


def _find_package(history: History, version: SchemaVersion, schema_folder: Path) -> tuple[str, SchemaPackage]:
    """The release, or candidate, whose schema describes the database: its name and its package."""
    made_by = history.candidate_release(str(version))
    if made_by is not None and made_by.candidate is not None:
        candidate = package_of(schema_folder, made_by.candidate, version)
        if candidate is None:
            raise PlanRefused(
                [
                    f"The database was brought to schema {version} with the release candidate {made_by.candidate}, and its "
                    f"package was removed from {schema_folder}. Release the official {version}, and audit afterwards."
                ]
            )
        return made_by.candidate, candidate
    package = SchemaPackages(schema_folder).fetch_or_next(version)
    return str(package.version), package
