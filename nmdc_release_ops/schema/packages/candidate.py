"""A release candidate: a schema release that has not been published, from a branch, a wheel or a folder.

Its package is built once and named after its content. A branch that moves, or a folder that is edited, becomes another
candidate. A candidate never replaces a published release of the same version.
"""

import hashlib
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from nmdc_release_ops.files import lock
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.packages.package import NAME, PackageUnreadable, SchemaPackage, unpack
from nmdc_release_ops.schema.version import SchemaVersion

EXAMPLES = (
    "nmdc-schema @ git+https://github.com/microbiomedata/nmdc-schema@a-branch, /a/folder/nmdc_schema-11.26.0-py3-none-any.whl, "
    "or /a/folder/nmdc-schema"
)
_NAME = re.compile(r"candidate-[0-9a-f]{12}")
_REFERENCE = re.compile(r"(?:nmdc[-_.]schema[ \t]*@[ \t]*)?(?P<url>[a-z+]+://\S+)", re.IGNORECASE | re.ASCII)
# Excludes what uv, git or a shell would interpret: "$", braces, quotes, ";", backslashes.
_PLAIN = re.compile(r"[!#%&()*+,./0-9:=?@A-Z\[\]_a-z~-]+", re.ASCII)
_REVISION = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_./+-]*", re.ASCII)
_FRAGMENT = re.compile(r"(?:subdirectory=[0-9A-Za-z_./-]+|sha256=[0-9a-f]{64})?", re.ASCII)
_REQUIRED = re.compile(r"[0-9A-Za-z][^\\$`]*")
_SCHEMES = {"git+https", "git+ssh", "git+file", "https", "file"}
# Files about the installation, which the installer writes.
_INSTALLER_FILES = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}


class InvalidSchemaSource(SchemaError, ValueError):
    """A text that does not locate a release candidate, or that contains credentials."""


@dataclass(frozen=True)
class Candidate:
    """A release candidate, by the name that its package and its environment have on disk."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The candidate of that name.

        Raises:
            ValueError: it is not a candidate's name.
        """
        if not _NAME.fullmatch(text):
            raise ValueError(f"{text!r} is not the name of a release candidate")
        return cls(text)

    def __str__(self) -> str:
        return self.name


def release_named(name: str) -> SchemaVersion | Candidate:
    """The published release, or the candidate, with that name (its `str`).

    Raises:
        InvalidSchemaVersion: it is the name of neither.
    """
    return Candidate(name) if _NAME.fullmatch(name) else SchemaVersion.parse(name)


def require_source(text: str) -> str:
    """The requirement for uv from a `schema_source`: a direct reference, or the path of a wheel or folder.

    Raises:
        InvalidSchemaSource: it is neither, or contains credentials. The text of the error never repeats those.
    """
    source = text.strip()
    if "$" in source:
        raise InvalidSchemaSource(
            "schema_source contains a dollar sign. uv would replace it by a variable of its environment, such as a password of "
            "the package index, and send that. Write the address or path literally."
        )
    found = _REFERENCE.fullmatch(source)
    if found is not None:
        url = _require_plain(found["url"])
        return f"{NAME} @ {url}" if not url.startswith("file:") else _require_local(_path_of(url))
    path = Path(source)
    if not path.is_absolute() or not source.isprintable():
        raise InvalidSchemaSource(
            f"schema_source is neither a direct reference nor an absolute path. Examples: {EXAMPLES}."
        )
    return _require_local(path)


def fetch_candidate(home: Path, source: str) -> tuple[Candidate, Path]:
    """Build the package of a candidate, without its dependencies; return its name and the folder it was unpacked to.

    Building runs the candidate's own build code, which gets none of this process's secrets.

    Args:
        source: as `require_source` takes it.

    Raises:
        InvalidSchemaSource, PackageUnreadable, PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed.
    """
    folder = home / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    requirement = require_source(source)
    with tempfile.TemporaryDirectory(prefix=".candidate.", dir=folder) as scratch:
        unpacked = Path(scratch) / "package"
        # By default uv only rebuilds a folder if its pyproject.toml changed.
        rebuild = ("--refresh-package", NAME, "--reinstall-package", NAME)
        unpack(requirement, unpacked, *rebuild, what="the release candidate of schema_source")
        if not (unpacked / "nmdc_schema").is_dir():
            raise PackageUnreadable("schema_source does not lead to a package of nmdc-schema.")
        candidate = Candidate(f"candidate-{_digest(unpacked)[:12]}")
        final = folder / candidate.name
        with lock(final):
            if not final.is_dir():
                unpacked.rename(final)
    return candidate, final


def package_of(home: Path, name: str, version: SchemaVersion) -> SchemaPackage | None:
    """The package of a candidate that was built before; None if it was removed.

    Args:
        name: the candidate's.
        version: of the data that it produced.

    Raises:
        ValueError: the name is not a candidate's.
    """
    folder = home / "packages" / Candidate.parse(name).name
    return SchemaPackage(version, folder) if folder.is_dir() else None


def version_of(package: Path) -> SchemaVersion:
    """The version that a candidate leads to: the latest destination of its migrators.

    The version in the package's metadata is of no use: for a branch it is generated from the commits.

    Raises:
        PackageUnreadable: it has no migrator.
    """
    # The version is unknown yet; reading the migrators does not need it.
    migrators = SchemaPackage(SchemaVersion.parse("0"), package).migrators()
    versions = [version for migrator in migrators if (version := migrator.to_version) is not None]
    if not versions:
        raise PackageUnreadable("The package of schema_source has no migrators, so its version is unknown.")
    return max(versions)


def commit_of(package: Path) -> str:
    """The commit that a candidate was built from; empty if it is not from git."""
    for file in package.glob("nmdc_schema-*.dist-info/direct_url.json"):
        return str(json.loads(file.read_text()).get("vcs_info", {}).get("commit_id", ""))
    return ""


def requirements_of(package: Path) -> list[str]:
    """The requirements in a candidate's metadata.

    Raises:
        PackageUnreadable: there is no metadata, or a requirement that uv would read as an option or expand from its environment.
    """
    try:
        (file,) = package.glob("nmdc_schema-*.dist-info/METADATA")
        # Its headers end with the first empty line; a long description follows.
        headers = file.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except (OSError, ValueError) as error:
        raise PackageUnreadable(f"The package of schema_source does not list its requirements: {error}.") from None
    requirements = [line.partition(":")[2].strip() for line in headers if line.startswith("Requires-Dist:")]
    for requirement in requirements:
        if not _REQUIRED.fullmatch(requirement) or not requirement.isprintable():
            raise PackageUnreadable(
                f"The package of schema_source requires {requirement[:80]!r}, which is not a valid requirement."
            )
    return requirements


def _require_plain(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidSchemaSource(f"schema_source is not a valid address. Examples: {EXAMPLES}.") from None
    scheme = parts.scheme.lower()
    # "git@" is the usual user for ssh; anything else may be a person's name or a token.
    harmless = scheme == "git+ssh" and parts.username == "git" and parts.password is None
    if parts.query or ("@" in parts.netloc and not harmless):
        raise InvalidSchemaSource(
            "schema_source contains a user, password, token or query. A run's config is stored and shown: treat a secret in it "
            "as exposed, and revoke it. Give git its credentials in its own configuration, and launch again without them."
        )
    if scheme not in _SCHEMES:
        raise InvalidSchemaSource(f"schema_source has to begin with one of: {', '.join(sorted(_SCHEMES))}.")
    path, at, revision = parts.path.partition("@")
    is_local = scheme in ("file", "git+file")
    if (
        not _PLAIN.fullmatch(url)
        or not _FRAGMENT.fullmatch(parts.fragment)
        or bool(host) == is_local
        # git would read a leading hyphen as an option.
        or (host or "").startswith("-")
        or (at and not (scheme.startswith("git+") and _REVISION.fullmatch(revision)))
        or not path.startswith("/")
    ):
        raise InvalidSchemaSource(
            "schema_source is not a plain address: it contains a space, a quote, a second @, an option, or a fragment other than "
            f"#subdirectory=. Examples: {EXAMPLES}."
        )
    return parts._replace(scheme=scheme).geturl()


def _path_of(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _require_local(path: Path) -> str:
    try:
        is_wheel = path.suffix == ".whl" and path.is_file()
        is_folder = any((path / name).is_file() for name in ("pyproject.toml", "setup.py"))
        address = path.resolve().as_uri()
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidSchemaSource(f"schema_source names a path that cannot be read: {error}.") from None
    if not (is_wheel or is_folder):
        raise InvalidSchemaSource(
            f"schema_source names {path}, which is neither a wheel nor a folder with a pyproject.toml on the machine that runs "
            "the release."
        )
    return f"{NAME} @ {address}"


def _digest(package: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.name not in _INSTALLER_FILES and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(package)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
