"""The migration path: which migrators, in which order, take a database from one version to another.

Every top-level migrator is run whose destination lies after the version the database has and not after the one it
is to have, in order of destination, then origin. NMDC's own history follows this rule, gaps and overlaps included:
10.9.1 went to 11.0.0 with the migrator named 10.2.0 -> 11.0.0.
"""

from dataclasses import dataclass
from itertools import pairwise

from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.package import MigratorModule, SchemaPackage
from nmdc_release_ops.schema.version import SchemaVersion


class NoMigrationPath(SchemaError):
    """The migrators of a release do not lead from one version to the other."""


@dataclass(frozen=True)
class MigrationPath:
    """The way from one version to another.

    Attributes:
        migrators: in the order in which they are run.
        warnings: gaps and oddities, for the operator.
        lacks_final_migrator: whether none leads to the very version wanted (nmdc-schema's ADR 007 wants one).
    """

    from_version: SchemaVersion
    to_version: SchemaVersion
    migrators: tuple[MigratorModule, ...]
    warnings: tuple[str, ...]
    lacks_final_migrator: bool


def migration_path(package: SchemaPackage, from_version: SchemaVersion, to_version: SchemaVersion) -> MigrationPath:
    """The migrators of `package` that take a database from `from_version` to `to_version`.

    Raises:
        NoMigrationPath: if the target is older, or two migrators are for the same step.
    """
    if to_version < from_version:
        raise NoMigrationPath(f"Migrators only go forward: there is no path from {from_version} to {to_version}.")
    chosen: list[tuple[SchemaVersion, SchemaVersion, MigratorModule]] = []
    warnings = []
    for migrator in package.migrators():
        origin, destination = migrator.from_version, migrator.to_version
        if destination is None or origin is None:
            # A template lives among the migrators of every release; it leads nowhere.
            if migrator.destination != "EXAMPLE" and not migrator.module.endswith("_to_EXAMPLE"):
                warnings.append(f"{migrator.module} is not run: {migrator.problem}.")
            continue
        if from_version < destination <= to_version:
            if migrator.problem:
                raise NoMigrationPath(f"{migrator.module} cannot be run: {migrator.problem}.")
            chosen.append((destination, origin, migrator))
    chosen.sort(key=lambda step: step[:2])
    _refuse_duplicates(chosen)
    return MigrationPath(
        from_version=from_version,
        to_version=to_version,
        migrators=tuple(migrator for _, _, migrator in chosen),
        warnings=(*warnings, *_gaps(chosen, from_version)),
        lacks_final_migrator=from_version != to_version and not (chosen and chosen[-1][0] == to_version),
    )


def _refuse_duplicates(chosen: list[tuple[SchemaVersion, SchemaVersion, MigratorModule]]) -> None:
    for (destination, origin, one), (next_destination, next_origin, other) in pairwise(chosen):
        if (destination, origin) == (next_destination, next_origin):
            raise NoMigrationPath(
                f"{one.module} and {other.module} both migrate from {origin} to {destination}. Ask the schema's "
                "maintainers which of them is meant."
            )


def _gaps(chosen: list[tuple[SchemaVersion, SchemaVersion, MigratorModule]], from_version: SchemaVersion) -> list[str]:
    reached = from_version
    warnings = []
    for destination, origin, migrator in chosen:
        if origin > reached:
            warnings.append(
                f"No migrator leads from {reached} to {origin}; {migrator.module} is run on {reached}. "
                "NMDC's history has such gaps where a release changed nothing."
            )
        elif origin < reached:
            warnings.append(
                f"{migrator.module} was written for {origin} and is run on {reached}. NMDC's history has such overlaps."
            )
        reached = destination
    return warnings
