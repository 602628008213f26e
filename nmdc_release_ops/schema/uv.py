"""Calling `uv`, and understanding why it could not do what it was asked."""

import os
import sys
import tempfile
from collections.abc import Sequence

from uv import find_uv_bin

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.processes import TookTooLong, run_to_end

# Found once, here: looking for it in several threads at once fails on a fresh interpreter (sysconfig fills its variables
# in the first call, and shows them to the others half filled).
_UV = find_uv_bin()
SECONDS = 600
_HTTP_SECONDS = "30"
_HTTP_RETRIES = "2"
# What uv says when the index was asked and has no such release.
_NOT_THERE = ("No solution found", "not found in the package registry", "there is no version of", "no versions of")
# What uv says when it could not ask.
_NO_ANSWER = (
    "error sending request",
    "Failed to fetch",
    "Could not connect",
    "client error (Connect)",
    "tcp connect error",
    "dns error",
    "operation timed out",
    "Network connectivity is disabled",
    "network was disabled",
)
# What the system says to uv when the disk is full, or cannot be written.
_NO_ROOM = ("No space left on device", "Disk quota exceeded", "Read-only file system", "File too large")
# Building a dependency from its sources runs its code, so uv gets what it needs and nothing else of ours.
_HANDED_ON = {
    *("PATH", "HOME", "USER", "TMPDIR", "LANG", "LC_ALL", "NETRC"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME"),
}


class SchemaReleaseNotFound(SchemaError):
    """The package index has no such release of the schema."""


class PackageIndexUnreachable(SchemaError):
    """The package index did not answer."""


class InstallationFailed(SchemaError):
    """uv failed for another reason."""


def run_uv(arguments: Sequence[str], *, what: str, requirements: str = "", seconds: float = SECONDS) -> str:
    """Run `uv` without the origin's credentials in its environment; return what it printed.

    Args:
        what: what is being looked for, as errors call it: "nmdc-schema 11.25.0".
        requirements: what uv reads where its arguments name the file "-".
        seconds: how long it may take.

    Raises:
        SchemaReleaseNotFound, PackageIndexUnreachable, InstallationFailed, FileNotWritten.
    """
    environment = {
        name: value for name, value in os.environ.items() if name.upper() in _HANDED_ON or name.startswith("UV_")
    }
    environment.setdefault("UV_HTTP_TIMEOUT", _HTTP_SECONDS)
    environment.setdefault("UV_HTTP_RETRIES", _HTTP_RETRIES)
    try:
        done = run_to_end(
            [_UV, "--no-progress", "--color", "never", *arguments],
            env=environment,
            # Not in the folder of a project, whose own settings for uv are none of our business.
            cwd=tempfile.gettempdir(),
            given=requirements,
            seconds=seconds,
        )
    except TookTooLong:
        raise PackageIndexUnreachable(
            f"uv was not done with {what} after {seconds:.0f} seconds and was ended, with every process that it had started. "
            "Either the package index does not answer, or building a package hangs. Try again."
        ) from None
    if done.code == 0:
        return done.output
    said = done.errors.strip()
    for reason in _NO_ROOM:
        if reason in said:
            raise FileNotWritten(
                f"where uv puts {what} (its cache, or NMDC_RELEASE_HOME)", f"{reason}. uv said: {said[-500:]}"
            )
    if any(sign in said for sign in _NO_ANSWER):
        raise PackageIndexUnreachable(
            f"The package index could not be asked for {what}. Check the network and uv's index settings "
            f"(UV_DEFAULT_INDEX), and try again. uv said:\n{said[-1500:]}"
        )
    if any(sign in said for sign in _NOT_THERE):
        raise SchemaReleaseNotFound(
            f"There is no {what} on the package index. Look for the version's spelling at the schema project's "
            "releases; a release that has just been published may take some minutes to appear."
        )
    raise InstallationFailed(f"uv could not provide {what}. It said:\n{said[-1500:]}")


def python() -> str:
    """The interpreter that environments are made from: the one we run on, outside our virtual environment."""
    return getattr(sys, "_base_executable", None) or sys.executable
