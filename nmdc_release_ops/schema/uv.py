"""Calling `uv`, and understanding why it could not do what it was asked."""

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

# Found once, here: looking for it in several threads at once fails on a fresh interpreter (sysconfig fills its variables
# in the first call, and shows them to the others half filled).
_UV = find_uv_bin()
SECONDS = 600
_HTTP_SECONDS = "30"
_HTTP_RETRIES = "2"
# What uv says when the index answered, but unusably. None of these means that a release is absent.
_UNUSABLE = re.compile(
    r"HTTP status client error \((?!408|425|429)4\d\d"
    r"|could not be queried due to a lack of valid authentication credentials"
    r"|returned a 403 Forbidden error"
    r"|nmdc-schema was not found in the package registry"
    r"|there are no versions of nmdc-schema and"
    r"|Received some unexpected (?:HTML|JSON)"
    r"|Unsupported `Content-Type`"
)
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
# What the system says to uv when the disk is full or read-only.
_NO_ROOM = ("No space left on device", "Disk quota exceeded", "Read-only file system", "File too large")
# Building a dependency from its sources runs its code, so uv gets what it needs and nothing else of ours.
_HANDED_ON = {
    *("PATH", "HOME", "USER", "TMPDIR", "LANG", "LC_ALL", "NETRC"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME"),
}
# uv mixes its log (RUST_LOG) with its messages.
_LOG_LINE = re.compile(r"^(?:TRACE|DEBUG|INFO|WARN) .*\n?", re.MULTILINE)
_MOST_SAID = 1_500


class SchemaReleaseNotFound(SchemaError):
    """The package index lists releases of the schema, and this one is not among them."""


class PackageIndexUnreachable(SchemaError):
    """The package index did not answer, or answered with a server error (5xx)."""


class PackageIndexUnusable(SchemaError):
    """The package index answered, but not with the schema's releases: it refuses access (401, 403), lists no release of the
    schema at all, or sends something else than a list.
    """


class InstallationFailed(SchemaError):
    """uv failed for another reason.

    Attributes:
        said: uv's message, without credentials.
        logged: what uv logged.
    """

    def __init__(self, what: str, said: str, logged: str = "") -> None:
        self.said = said
        self.logged = logged
        super().__init__(f"uv could not provide {what}. It said:\n{said[-_MOST_SAID:]}")


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
        what: what is being looked for, as errors call it: "nmdc-schema 11.25.0".
        requirements: what uv reads where its arguments name the file "-".
        environment: variables to set for this call; None removes one.
        seconds: time limit. After it, uv is ended with every process that it started.

    Raises:
        PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed, FileNotWritten: none means that a release does not
            exist; `schema.package_index` determines that.
    """
    variables = _environment() | dict(environment or {})
    try:
        done = run_to_end(
            [_UV, "--no-progress", "--color", "never", *arguments],
            env={name: value for name, value in variables.items() if value is not None},
            # Not in the folder of a project, whose own settings for uv are none of our business.
            cwd=tempfile.gettempdir(),
            given=requirements,
            seconds=seconds,
        )
    except TookTooLong:
        raise PackageIndexUnreachable(
            f"uv did not finish with {what} within {seconds:g} seconds, and was ended with every process that it had started. "
            "Either the package index does not answer, or building a package hangs. Try again."
        ) from None
    logged = scrub(done.errors)
    if done.code == 0:
        return done.output, logged
    raise _failure(what, _LOG_LINE.sub("", logged).strip(), logged)


def python() -> str:
    """The interpreter that environments are made from: the one we run on, outside our virtual environment."""
    return getattr(sys, "_base_executable", None) or sys.executable


def scrub(text: str) -> str:
    """`text` without user names and passwords: those in addresses, and those that uv's variables hold."""
    return mask_logins(mask(text, _secrets()))


def _environment() -> dict[str, str | None]:
    found: dict[str, str | None] = {
        name: value for name, value in os.environ.items() if name.upper() in _HANDED_ON or name.startswith("UV_")
    }
    return {"UV_HTTP_TIMEOUT": _HTTP_SECONDS, "UV_HTTP_RETRIES": _HTTP_RETRIES, **found}


def _secrets() -> set[str]:
    """Passwords and tokens in uv's variables."""
    found: set[str] = set()
    for name, value in _environment().items():
        if name.endswith(("_PASSWORD", "_TOKEN")):
            found.add(value or "")
        for address in (value or "").split():
            # In a malformed address, everything between "://" and the last "@" may be secret.
            user, at, _ = address.partition("://")[2].rpartition("@")
            if at:
                found |= {user, user.partition(":")[2] or user}
    return found


def _failure(what: str, said: str, logged: str) -> Exception:
    shown = said[-_MOST_SAID:]
    for reason in _NO_ROOM:
        if reason in said:
            return FileNotWritten(
                f"where uv puts {what} (its cache, or NMDC_RELEASE_HOME)", f"{reason}. uv said: {said[-500:]}"
            )
    if _UNUSABLE.search(said):
        return PackageIndexUnusable(
            f"The package index did not say whether there is {what}: it refuses access, or lists no release of nmdc-schema. "
            f"Check uv's index settings (UV_DEFAULT_INDEX) and the credentials for it. uv said:\n{shown}"
        )
    if any(sign in said for sign in _NO_ANSWER):
        return PackageIndexUnreachable(
            f"The package index could not be asked for {what}. Check the network and uv's index settings "
            f"(UV_DEFAULT_INDEX), and try again. uv said:\n{shown}"
        )
    return InstallationFailed(what, said, logged)
