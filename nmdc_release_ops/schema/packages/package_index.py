"""Which releases of the schema the package index has. A release is reported as absent only where that is certain.

Migrators run in the release that last corrected them (`schema.shipping`). If an index that refuses to answer counted as one
without that release, an uncorrected migrator would be chosen.
"""

import re

from nmdc_release_ops.schema.uv import (
    SECONDS,
    InstallationFailed,
    PackageIndexUnusable,
    SchemaReleaseNotFound,
    python,
    run_uv,
)
from nmdc_release_ops.schema.version import SchemaVersion

NAME = "nmdc-schema"
# uv logs the status of every answer of an index only here.
_LOG = "uv_client::cached_client=trace"
_ANSWER = re.compile(
    rf"^TRACE Received response for \w+ request with status (\d+).* for: (\S*/{NAME}/?)$", re.MULTILINE
)
_LISTED = {"200", "304", "404"}
# uv's complete message when the index lists no such release. Any other message, such as that a release does not support
# this Python or was filtered out, does not mean that it is absent.
_ABSENT = re.compile(
    r"error: No solution found when resolving dependencies\s+cause: Because (?P<why>"
    rf"only {NAME}\S+ is available"
    rf"|only the following versions of {NAME} are available:(?:\s+{NAME}\S+)+"
    rf"|there (?:is no version|are no versions) of {NAME}[=<>]\S+"
    rf")\s+and you require {NAME}\S+, we can conclude that your requirements are unsatisfiable\."
    # Hints that do not change that.
    rf"(?:\s+hint: (?:`{NAME}` was found on|Pre-releases are available)[^\n]*)*\s*",
)
# Variables that would change the answer; they may be set for installations.
_UNSET_VARIABLES = {"UV_CONSTRAINT": None, "UV_OVERRIDE": None, "UV_EXCLUDE": None}


def find_release(requirement: str, resolution: str, seconds: float = SECONDS) -> SchemaVersion:
    """The release that meets a requirement.

    Args:
        requirement: "nmdc-schema>=11.2.5,<=11.25.0".
        resolution: uv's "highest" or "lowest-direct".
        seconds: time limit for the index.

    Raises:
        SchemaReleaseNotFound: the index lists releases, and none meets it.
        PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed: it is unknown whether there is one.
    """
    try:
        printed = _ask(requirement, seconds, "--resolution", resolution, "--refresh-package", NAME)
    except InstallationFailed as error:
        absent = match_absent(error.message)
        if absent is None:
            raise
        if not absent["why"].startswith("only"):
            # uv's message is the same for an empty list, such as a proxy's login page.
            _ask(NAME, seconds, "--prerelease", "allow")
        raise SchemaReleaseNotFound(
            f"There is no {requirement.replace('==', ' ')} on the package index. Look for the version's spelling at the "
            "schema project's releases; a release that has just been published may take some minutes to appear."
        ) from None
    for line in printed.splitlines():
        name, separator, version = line.strip().partition("==")
        if separator and name == NAME:
            return SchemaVersion.parse(version)
    raise InstallationFailed(f"which release of {requirement} there is", printed)


def match_absent(message: str) -> re.Match[str] | None:
    """A match, with the group `why`, if uv reports that the index lists no such release, and nothing else."""
    # An installation first reports its interpreter.
    return _ABSENT.fullmatch(message[max(message.find("error: "), 0) :])


def _ask(requirement: str, seconds: float, *arguments: str) -> str:
    arguments_of_uv = [
        *("pip", "compile", "-", "--no-deps", "--no-header", "--no-annotate"),
        *("--python", python(), *arguments),
    ]
    variables = {**_UNSET_VARIABLES, "RUST_LOG": _LOG}
    try:
        printed, log = run_uv(
            arguments_of_uv, what=requirement, requirements=requirement + "\n", environment=variables, seconds=seconds
        )
    except InstallationFailed as error:
        _require_listed(requirement, error.log)
        raise
    _require_listed(requirement, log)
    return printed


def _require_listed(requirement: str, log: str) -> None:
    """Refuse an answer if one of several indexes did not list its releases.

    With its index strategies `unsafe-*`, uv silently continues without that index.

    Raises:
        PackageIndexUnusable.
    """
    for status, address in _ANSWER.findall(log):
        if status not in _LISTED:
            raise PackageIndexUnusable(
                f"The package index did not say whether there is {requirement}: {address} answered with {status}. Check uv's "
                "index settings (UV_DEFAULT_INDEX, UV_INDEX) and the credentials for it."
            )
