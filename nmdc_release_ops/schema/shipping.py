"""Which release a migrator runs in: the earliest published one that ships its last correction.

Migrators consult the schema that they shipped with. With a later one, they may do something else, or fail. Some were
corrected by the next release, before other databases were migrated: 11.8.0 -> 11.9.0 only makes `was_informed_by` a list since
11.9.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nmdc_release_ops.schema.packages.candidate import Candidate
from nmdc_release_ops.schema.packages.package import SchemaPackage, SchemaPackages, SchemaReleaseNotFound
from nmdc_release_ops.schema.path import Hop, MigrationPath, NoMigrationPath
from nmdc_release_ops.schema.version import SchemaVersion


@dataclass(frozen=True)
class Target:
    """The release that a path leads to.

    Attributes:
        release: a published version, or a candidate.
        package: its version is the one that the database has to conform to.
        warnings: about how it was found, for people.
    """

    release: SchemaVersion | Candidate
    package: SchemaPackage
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shipped:
    """Where a migrator runs.

    Attributes:
        release: the one whose environment it runs in.
        edited: whether the target's copy of the migrator differs.
    """

    release: SchemaVersion | Candidate
    edited: bool


def place_hops(packages: SchemaPackages, path: MigrationPath, target: Target) -> list[Shipped | None]:
    """For each hop of a path the release that it runs in; None for a no-op, which is not run.

    The last hop to a candidate is what is being tried out. It runs in the candidate, even if a release of that version has
    been published.

    Args:
        target: the path consists of its migrators.

    Raises:
        NoMigrationPath: no release up to the target has the migrator and the adapter that it works with.
        PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed: the index did not say which releases there are.
    """
    placed: list[Shipped | None] = []
    following: SchemaVersion | None = None
    for hop in reversed(path.hops):
        if hop.migrator.does_nothing:
            placed.append(None)
            continue
        if isinstance(target.release, Candidate) and hop.to_version == path.to_version:
            placed.append(Shipped(target.release, edited=False))
        else:
            placed.append(_place(packages, hop, following, target))
        following = hop.to_version
    return placed[::-1]


def _place(packages: SchemaPackages, hop: Hop, following: SchemaVersion | None, target: Target) -> Shipped:
    """The earliest release with the last correction of a migrator.

    Args:
        following: the destination of the next migrator that is not a no-op. Edits in releases from there on are meant for
            databases that have already been migrated, and consult another schema.
    """
    module = hop.migrator.module
    wanted = _last_correction(packages, hop, following, target)
    tried = hop.to_version
    while tried < target.package.version:
        package = _fetch_if_published(packages, tried)
        if package is not None and package.can_run(module):
            code = package.code_of(module)
            if wanted is None or code == wanted:
                return Shipped(tried, edited=code != target.package.code_of(module))
        try:
            tried = packages.earliest_after(tried, target.package.version)
        except SchemaReleaseNotFound:
            break
    if not target.package.can_run(module):
        raise NoMigrationPath(
            f"{module} is needed and cannot be run: no release up to {target.package.version} has both it and "
            "nmdc-schema's MongoAdapter, which came with 10.0.0. Launch again with a later target_version."
        )
    return Shipped(target.release, edited=False)


def _last_correction(
    packages: SchemaPackages, hop: Hop, following: SchemaVersion | None, target: Target
) -> Mapping[str, str] | None:
    """The code of a migrator in the last release before `following`; None if that release cannot run it."""
    if following is None:
        last = target.package
    else:
        try:
            last = packages.fetch(packages.latest_before(following, hop.to_version))
        except SchemaReleaseNotFound:
            return None
    return last.code_of(hop.migrator.module) if last.can_run(hop.migrator.module) else None


def _fetch_if_published(packages: SchemaPackages, version: SchemaVersion) -> SchemaPackage | None:
    try:
        return packages.fetch(version)
    except SchemaReleaseNotFound:
        return None
