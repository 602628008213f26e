"""Running `uv`, and classifying its failures."""

import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence

from uv import find_uv_bin

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.masking import mask, mask_logins
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.processes import TookTooLong, run_to_end

# Found once, at import: several threads that look for it at once fail on a fresh interpreter, because sysconfig shows its
# variables to the others before they are complete.
_UV = find_uv_bin()
SECONDS = 600
_HTTP_SECONDS = "30"
_HTTP_RETRIES = "2"
# uv's messages if the index answered, but unusably. None of these means that a release is absent.
_UNUSABLE = re.compile(
    r"HTTP status client error \((?!408|425|429)4\d\d"
    r"|could not be queried due to a lack of valid authentication credentials"
    r"|returned a 403 Forbidden error"
    r"|nmdc-schema was not found in the package registry"
    r"|there are no versions of nmdc-schema and"
    r"|Received some unexpected (?:HTML|JSON)"
    r"|Unsupported `Content-Type`"
)
# uv's messages if it could not reach the index.
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
# The system's messages if the disk is full or read-only.
_NO_ROOM = ("No space left on device", "Disk quota exceeded", "Read-only file system", "File too large")
# Building a dependency from source runs its code, so uv only gets the variables that it needs.
_PASSED_VARIABLES = {
    *("PATH", "HOME", "USER", "TMPDIR", "LANG", "LC_ALL", "NETRC"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME"),
}
# uv mixes its log (RUST_LOG) with its messages.
_LOG_LINE = re.compile(r"^(?:TRACE|DEBUG|INFO|WARN) .*\n?", re.MULTILINE)
_LONGEST_MESSAGE = 1_500


class SchemaReleaseNotFound(SchemaError):
    """The package index lists releases of the schema, and this one is not among them."""


class PackageIndexUnreachable(SchemaError):
    """The package index did not answer, or answered with a server error (5xx)."""


class PackageIndexUnusable(SchemaError):
    """The package index answered, but not with the schema's releases: it refuses access (401, 403), lists no release of the
    schema at all, or sends something other than a list.
    """


class InstallationFailed(SchemaError):
    """uv failed for another reason.

    Attributes:
        message: uv's message, without credentials.
        log: what uv logged.
    """

    def __init__(self, what: str, message: str, log: str = "") -> None:
        self.message = message
        self.log = log
        super().__init__(f"uv could not provide {what}. Its message was:\n{message[-_LONGEST_MESSAGE:]}")


def run_uv(
    arguments: Sequence[str],
    *,
    what: str,
    requirements: str = "",
    environment: Mapping[str, str | None] | None = None,
    seconds: float = SECONDS,
) -> tuple[str, str]:
    """Run `uv` without the origin's credentials in its environment; return what it printed and what it logged.

    Args:
        what: what uv is to provide, for errors: "nmdc-schema 11.25.0".
        requirements: what uv reads as the file "-".
        environment: variables to set for this call; None removes one.
        seconds: time limit. Then uv is ended with every process that it started.

    Raises:
        PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed, FileNotWritten: none of these means that a release
            does not exist; `packages.package_index` determines that.
    """
    variables = _environment() | dict(environment or {})
    try:
        done = run_to_end(
            [_UV, "--no-progress", "--color", "never", *arguments],
            env={name: value for name, value in variables.items() if value is not None},
            # Not in the folder of a project, whose settings for uv would apply.
            cwd=tempfile.gettempdir(),
            stdin_text=requirements,
            seconds=seconds,
        )
    except TookTooLong:
        raise PackageIndexUnreachable(
            f"uv did not finish with {what} within {seconds:g} seconds, and was terminated with every process that it had "
            "started. Either the package index does not answer, or building a package hangs. Try again."
        ) from None
    log = scrub(done.errors)
    if done.code == 0:
        return done.output, log
    raise _classify_failure(what, _LOG_LINE.sub("", log).strip(), log)


def python() -> str:
    """The interpreter that environments are created from: the one that runs this process, outside its virtual environment."""
    return getattr(sys, "_base_executable", None) or sys.executable


def scrub(text: str) -> str:
    """`text` without the user names and passwords in addresses and in uv's variables."""
    return mask_logins(mask(text, _secrets()))


def _environment() -> dict[str, str | None]:
    passed: dict[str, str | None] = {
        name: value for name, value in os.environ.items() if name.upper() in _PASSED_VARIABLES or name.startswith("UV_")
    }
    return {"UV_HTTP_TIMEOUT": _HTTP_SECONDS, "UV_HTTP_RETRIES": _HTTP_RETRIES, **passed}


def _secrets() -> set[str]:
    """Passwords and tokens in uv's variables."""
    secrets: set[str] = set()
    for name, value in _environment().items():
        if name.endswith(("_PASSWORD", "_TOKEN")):
            secrets.add(value or "")
        for address in (value or "").split():
            # In a malformed address, everything between "://" and the last "@" may be secret.
            user, at, _ = address.partition("://")[2].rpartition("@")
            if at:
                secrets |= {user, user.partition(":")[2] or user}
    return secrets


def _classify_failure(what: str, message: str, log: str) -> Exception:
    shown = message[-_LONGEST_MESSAGE:]
    for reason in _NO_ROOM:
        if reason in message:
            return FileNotWritten(
                f"where uv puts {what} (its cache, or NMDC_RELEASE_HOME)",
                f"{reason}. uv's message was: {message[-500:]}",
            )
    if _UNUSABLE.search(message):
        return PackageIndexUnusable(
            f"The package index did not say whether there is {what}: it refuses access, or lists no release of nmdc-schema. "
            f"Check uv's index settings (UV_DEFAULT_INDEX) and the credentials for it. uv's message was:\n{shown}"
        )
    if any(sign in message for sign in _NO_ANSWER):
        return PackageIndexUnreachable(
            f"The package index could not be reached for {what}. Check the network and uv's index settings "
            f"(UV_DEFAULT_INDEX), and try again. uv's message was:\n{shown}"
        )
    return InstallationFailed(what, message, log)
