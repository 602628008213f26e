"""The package of a schema release: finding one on the package index, and reading it without running any of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nmdc_release_ops.files import lock, replace_folder
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.packages.kept_answers import Answer, KeptAnswers
from nmdc_release_ops.schema.packages.migrator_module import MigratorModule, normalised_code, read_migrator
from nmdc_release_ops.schema.packages.package_index import NAME, find_release, match_absent
from nmdc_release_ops.schema.uv import (
    SECONDS,
    InstallationFailed,
    PackageIndexUnreachable,
    PackageIndexUnusable,
    SchemaReleaseNotFound,
    python,
    run_uv,
)
from nmdc_release_ops.schema.version import SchemaVersion

__all__ = [
    "NAME",
    "InstallationFailed",
    "PackageIndexUnreachable",
    "PackageIndexUnusable",
    "SchemaPackage",
    "SchemaPackages",
    "SchemaReleaseNotFound",
]


_HIGHEST, _LOWEST = "highest", "lowest-direct"
"""Which of several releases uv chooses."""


class PackageUnreadable(SchemaError):
    """The package does not have the structure of a schema release."""


@dataclass(frozen=True)
class SchemaPackage:
    """A release's package, unpacked.

    Attributes:
        path: the folder that holds `nmdc_schema`.
    """

    version: SchemaVersion
    path: Path

    def collections(self) -> frozenset[str]:
        """Names of the collections that the schema's `Database` class describes.

        Raises:
            PackageUnreadable: the package does not list them.
        """
        file = self.path / "nmdc_schema" / "nmdc.schema.json"
        try:
            schema = json.loads(file.read_bytes())
            definitions = schema.get("$defs") or {}
            names = frozenset(dict(schema.get("properties") or definitions["Database"]["properties"]))
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise PackageUnreadable(
                f"{NAME} {self.version} does not list the collections that it describes ({file.name}: {error!r})."
            ) from error
        return names

    def definition(self) -> Path:
        """The file with the schema's definition, patterns filled in.

        Raises:
            PackageUnreadable: the package has none.
        """
        file = self.path / "nmdc_schema" / "nmdc_materialized_patterns.yaml"
        if not file.is_file():
            raise PackageUnreadable(f"{NAME} {self.version} does not contain its schema's definition ({file.name}).")
        return file

    def migrators(self) -> tuple[MigratorModule, ...]:
        """Every top-level migrator that the package contains, by module name."""
        return tuple(read_migrator(path) for path in sorted(self._migrators.glob("migrator_from_*.py")))

    def can_run(self, module: str) -> bool:
        """Whether the package contains a migrator that does something, and the adapter that migrators work with.

        Some releases shipped a migrator before it had a class `Migrator`; the adapter came with 10.0.0.
        """
        path = self._migrators / f"{module}.py"
        if not path.is_file() or not (self._migrators / "adapters" / "mongo_adapter.py").is_file():
            return False
        migrator = read_migrator(path)
        return not migrator.problem and not migrator.does_nothing

    def code_of(self, module: str) -> Mapping[str, str]:
        """The code of a migrator and its parts, by file name, without comments and docstrings."""
        files = [self._migrators / f"{module}.py", *sorted((self._migrators / "partials" / module).glob("*.py"))]
        return {file.name: normalised_code(file) for file in files if file.is_file()}

    @property
    def _migrators(self) -> Path:
        return self.path / "nmdc_schema" / "migrators"


class SchemaPackages:
    """Packages of schema releases, unpacked below a folder and kept there, with what the package index answered."""

    def __init__(self, home: Path, *, also_kept: bool = False) -> None:
        """Args:
        also_kept: whether answers of the index are kept, and earlier ones stand in for an index that cannot be reached; see
            `describe_stand_ins`. Otherwise asking writes nothing.
        """
        self._folder = home / "packages"
        self._answers = KeptAnswers(self._folder / "answers.json") if also_kept else None
        self._stood_in: list[Answer] = []

    def describe_stand_ins(self) -> list[str]:
        """A sentence if earlier answers of the index were used."""
        if not self._stood_in:
            return []
        oldest = min(answer.given_at for answer in self._stood_in)
        return [
            f"The package index could not be reached. What it answered before was used, the oldest answer of "
            f"{oldest:%Y-%m-%d %H:%M} UTC: releases that were published since are not known."
        ]

    def newest(self, seconds: float = SECONDS) -> SchemaVersion:
        """The newest release on the package index, without pre-releases.

        Args:
            seconds: time limit for the index.

        Raises:
            SchemaReleaseNotFound: the index has none.
            PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed: it is unknown whether there is one.
        """
        return self._find(NAME, _HIGHEST, seconds)

    def require_published(self, version: SchemaVersion, seconds: float = SECONDS) -> None:
        """Check that a release is on the package index.

        Args:
            seconds: time limit for the index.

        Raises:
            SchemaReleaseNotFound, PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed.
        """
        self._find(spec(version), _HIGHEST, seconds)

    def earliest_at_or_after(self, version: SchemaVersion, ceiling: SchemaVersion) -> SchemaVersion:
        """The earliest release that is `version` or later, and not later than `ceiling`.

        Raises:
            SchemaReleaseNotFound, PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed.
        """
        return self._find(f"{NAME}>={version},<={ceiling}", _LOWEST)

    def earliest_after(self, version: SchemaVersion, ceiling: SchemaVersion) -> SchemaVersion:
        """The earliest release that is later than `version`, and not later than `ceiling`.

        Raises:
            SchemaReleaseNotFound, PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed.
        """
        return self._find(f"{NAME}>{version},<={ceiling}", _LOWEST)

    def latest_before(self, ceiling: SchemaVersion, version: SchemaVersion) -> SchemaVersion:
        """The latest release that is earlier than `ceiling`, and not earlier than `version`.

        Raises:
            SchemaReleaseNotFound, PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed.
        """
        return self._find(f"{NAME}>={version},<{ceiling}", _HIGHEST)

    def fetch(self, version: SchemaVersion) -> SchemaPackage:
        """The package of a release, without its dependencies.

        Raises:
            SchemaReleaseNotFound, PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed.
        """
        folder = self._folder / str(version)
        package = SchemaPackage(version, folder)
        if folder.is_dir():
            return package
        with lock(folder):
            if not folder.is_dir():
                with replace_folder(folder) as aside:
                    self._unpack(version, aside)
        return package

    def fetch_or_next(self, version: SchemaVersion, ceiling: SchemaVersion | None = None) -> SchemaPackage:
        """The package of a release; if that was not published, of the next release that was.

        Args:
            ceiling: the latest release that may take its place; None for the newest.

        Raises:
            SchemaReleaseNotFound, PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed.
        """
        try:
            return self.fetch(version)
        except SchemaReleaseNotFound:
            return self.fetch(self.earliest_at_or_after(version, ceiling or self.newest()))

    def _find(self, requirement: str, resolution: str, seconds: float = SECONDS) -> SchemaVersion:
        """Ask the index, and keep its answer; where it cannot be reached, and that is wanted, take the kept one."""
        try:
            version = find_release(requirement, resolution, seconds)
        except SchemaReleaseNotFound:
            self._keep(requirement, resolution, None)
            raise
        except PackageIndexUnreachable as error:
            return self._stand_in(requirement, resolution, error)
        self._keep(requirement, resolution, version)
        return version

    def _keep(self, requirement: str, resolution: str, version: SchemaVersion | None) -> None:
        if self._answers is not None:
            self._answers.keep(requirement, resolution, version)

    def _stand_in(self, requirement: str, resolution: str, error: PackageIndexUnreachable) -> SchemaVersion:
        answer = None if self._answers is None else self._answers.find(requirement, resolution)
        if answer is None:
            raise error
        self._stood_in.append(answer)
        if answer.version is None:
            raise SchemaReleaseNotFound(
                f"There was no {requirement.replace('==', ' ')} on the package index at {answer.given_at:%Y-%m-%d %H:%M} UTC; "
                "now it cannot be reached."
            ) from error
        return answer.version

    def _unpack(self, version: SchemaVersion, folder: Path) -> None:
        try:
            unpack(spec(version), folder, what=f"{NAME} {version}")
        except PackageIndexUnreachable as error:
            # That it is there does not help. That it is not is an answer.
            self._stand_in(spec(version), _HIGHEST, error)
            raise
        except InstallationFailed as error:
            if not match_absent(error.message):
                raise
            # uv may have used an outdated list from its cache.
            self.require_published(version)
            unpack(spec(version), folder, "--refresh-package", NAME, what=f"{NAME} {version}")


def unpack(requirement: str, folder: Path, *arguments: str, what: str) -> None:
    """Install a package into a folder, without its dependencies.

    Args:
        requirement: what uv installs.
        arguments: further options of uv.
        what: what is installed, for errors.

    Raises:
        PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed.
    """
    run_uv(
        [
            *("pip", "install", "--no-deps", "--link-mode", "copy", "--python", python(), "--target", str(folder)),
            *arguments,
            *("--requirements", "-"),
        ],
        what=what,
        requirements=requirement + "\n",
    )


def spec(version: SchemaVersion) -> str:
    """The requirement that only this release meets. By PEP 440, 11.25 equals 11.25.0."""
    return f"{NAME}=={version}"
