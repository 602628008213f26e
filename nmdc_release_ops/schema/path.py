"""The migration path: which migrators, in which order, take a database from one version to another.

Every top-level migrator runs whose destination is later than the database's version and not later than the target version,
in order of destination, then origin. NMDC's own history follows this rule, gaps and overlaps included: 10.9.1 went to 11.0.0
with the migrator named 10.2.0 -> 11.0.0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.packages.migrator_module import MigratorModule
from nmdc_release_ops.schema.packages.package import SchemaPackage
from nmdc_release_ops.schema.version import SchemaVersion


class NoMigrationPath(SchemaError):
    """The migrators of a release do not lead from one version to the other."""


class DuplicateMigrators(NoMigrationPath):
    """Two migrators of a release lead to the same version."""


@dataclass(frozen=True)
class Hop:
    """One migrator of a path.

    Attributes:
        to_version: the version that the database has afterwards.
        gap: explains the difference between the version of the database before it, and the version that the migrator was
            written for; empty if they are the same.
    """

    migrator: MigratorModule
    to_version: SchemaVersion
    gap: str


@dataclass(frozen=True)
class MigrationPath:
    """The way from one version to another.

    Attributes:
        hops: in the order in which they run.
        warnings: for the operator.
        lacks_final_migrator: whether no migrator leads exactly to the target version (nmdc-schema's ADR 007 requires one).
    """

    from_version: SchemaVersion
    to_version: SchemaVersion
    hops: tuple[Hop, ...]
    warnings: tuple[str, ...]
    lacks_final_migrator: bool

    @property
    def migrators(self) -> tuple[MigratorModule, ...]:
        return tuple(hop.migrator for hop in self.hops)


def migration_path(package: SchemaPackage, from_version: SchemaVersion, to_version: SchemaVersion) -> MigrationPath:
    """The migrators of `package` that take a database from `from_version` to `to_version`.

    Raises:
        NoMigrationPath: the target is older, or a migrator on the path cannot be run.
        DuplicateMigrators: two migrators on the path have the same destination.
    """
    if to_version < from_version:
        raise NoMigrationPath(f"Migrators only go forward: there is no path from {from_version} to {to_version}.")
    chosen: list[tuple[SchemaVersion, SchemaVersion, MigratorModule]] = []
    for migrator in package.migrators():
        origin, destination = migrator.from_version, migrator.to_version
        # The destination in its source counts, or the one in its name if its source has none. Every release also ships a
        # template without a destination.
        leads_to = destination or migrator.named_destination
        if leads_to is None or not from_version < leads_to <= to_version:
            continue
        if destination is None or origin is None or migrator.problem:
            raise NoMigrationPath(
                f"{migrator.module} is needed on the way to {to_version} and cannot be run: {migrator.problem}. Ask the "
                "schema's maintainers for a release in which it can."
            )
        chosen.append((destination, origin, migrator))
    chosen.sort(key=lambda step: step[:2])
    hops = tuple(_hops(chosen, from_version))
    return MigrationPath(
        from_version=from_version,
        to_version=to_version,
        hops=hops,
        warnings=(*_refuse_duplicates(chosen), *(hop.gap for hop in hops if hop.gap)),
        lacks_final_migrator=from_version != to_version and not (chosen and chosen[-1][0] == to_version),
    )


def different_migrators(
    candidate: SchemaPackage | None, official: SchemaPackage, from_version: SchemaVersion
) -> list[str]:
    """Migrators on the path from `from_version` to an official release that differ from those of its candidate.

    If the candidate's package is gone: all migrators on the path that are not no-ops.

    Raises:
        NoMigrationPath.
    """
    codes = []
    for package in (official, candidate):
        path = migration_path(package, from_version, official.version) if package is not None else None
        modules = [one.module for one in path.migrators if not one.does_nothing] if path is not None else []
        codes.append({module: package.code_of(module) for module in modules} if package is not None else {})
    ours, theirs = codes
    return sorted(module for module in ours.keys() | theirs.keys() if ours.get(module) != theirs.get(module))


def _refuse_duplicates(chosen: list[tuple[SchemaVersion, SchemaVersion, MigratorModule]]) -> list[str]:
    """Warnings about migrators with the same destination, if running all of them is harmless.

    Two that lead to the same version are alternatives, and only the schema's maintainers know which is meant.

    Raises:
        DuplicateMigrators: more than one of them is not a no-op.
    """
    warnings = []
    for destination, steps in groupby(chosen, key=itemgetter(0)):
        migrators = [migrator for _, _, migrator in steps]
        names = " and ".join(migrator.module for migrator in migrators)
        if sum(not migrator.does_nothing for migrator in migrators) > 1:
            raise DuplicateMigrators(
                f"{names} all migrate to {destination}. Ask the schema's maintainers which of them is meant."
            )
        if len(migrators) > 1:
            warnings.append(f"{names} all lead to {destination}; at most one of them does anything.")
    return warnings


def _hops(
    chosen: list[tuple[SchemaVersion, SchemaVersion, MigratorModule]], from_version: SchemaVersion
) -> Iterator[Hop]:
    reached = from_version
    for destination, origin, migrator in chosen:
        gap = ""
        if origin > reached:
            gap = (
                f"No migrator leads from {reached} to {origin}; {migrator.module} is run on {reached}. "
                "NMDC's history has such gaps where a release changed nothing."
            )
        elif origin < reached:
            gap = (
                f"{migrator.module} was written for {origin} and is run on {reached}. NMDC's history has such overlaps."
            )
        yield Hop(migrator, destination, gap)
        reached = destination
