"""MongoDB's Database Tools: where they are, and how they are run.

A tool gets its connection string in a file that only we can read and that is removed when the tool has ended: every user of
the machine can read the arguments of a process. `guard` ends a tool when the process that started it is gone.
"""

import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nmdc_release_ops.masking import mask
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.programs.environment import environment_without_secrets
from nmdc_release_ops.mongo.programs.guard import SHUTDOWN_SECONDS
from nmdc_release_ops.mongo.programs.tool_address import address_for_tools, secrets_in
from nmdc_release_ops.mongo.server.progress import Log

MONGODUMP = "mongodump"
MONGORESTORE = "mongorestore"
OLDEST_VERSION = (100, 3)
"""`--config` came with Database Tools 100.3.0."""
SECONDS_BETWEEN_LINES = 5.0
LINES_IN_ERRORS = 10
SILENT_SECONDS = 60 * 60.0
"""A tool that logs nothing for so long hangs. Tools log every three seconds, except while the server builds indexes."""
_VERSION_SECONDS = 30
_READ_BYTES = 65_536


class ToolsMissing(MongoError):
    """The Database Tools are not installed, or too old."""


class ToolFailed(MongoError):
    """A tool ended with an error."""


class ToolHung(ToolFailed):
    """A tool logged nothing for too long, and was ended."""


@dataclass(frozen=True)
class Invocation:
    """One call of a tool.

    Attributes:
        arguments: without a secret.
        uri: of the server that it works on; goes into a file.
    """

    tool: str
    arguments: Sequence[str]
    uri: str = field(repr=False)


def find_tools() -> str:
    """The version of the Database Tools that are on PATH, as they spell it.

    Raises:
        ToolsMissing: one of them is missing, does not run, or cannot read its connection string from a file.
    """
    missing = [tool for tool in (MONGODUMP, MONGORESTORE) if shutil.which(tool) is None]
    if missing:
        raise ToolsMissing(
            f"The engine mongo-tools needs {' and '.join(missing)}, not found on PATH. Install the MongoDB Database Tools "
            f"({_oldest()} or later), or launch with engine: native."
        )
    versions = {tool: _version(tool) for tool in (MONGODUMP, MONGORESTORE)}
    for tool, version in versions.items():
        numbers = re.match(r"r?(\d+)\.(\d+)", version)
        if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST_VERSION:
            raise ToolsMissing(
                f"{shutil.which(tool)} is version {version}; the engine mongo-tools needs {_oldest()} or later. Install a "
                "newer one, or launch with engine: native."
            )
    return versions[MONGODUMP]


def run(*invocations: Invocation, folder: Path, log: Log, silent_seconds: float = SILENT_SECONDS) -> None:
    """Run a tool to its end, or several in a pipeline: each one's output is the next one's input.

    Args:
        folder: for the files with the connection strings, while the tools run; only its owner may read it.
        log: receives what the tools log: what they finish, and every few seconds their progress.
        silent_seconds: how long they may log nothing.

    Raises:
        ToolFailed: with the last lines of the log.
        ToolHung: they logged nothing for too long, and were ended.
    """
    tool_log = _ToolLog(log, [secret for invocation in invocations for secret in secrets_in(invocation.uri)])
    with (
        tempfile.TemporaryDirectory(prefix=".mongo-tools-", dir=folder) as private,
        _start_tools(invocations, Path(private)) as (logged, guards),
    ):
        try:
            for line in _read_lines(logged, silent_seconds):
                tool_log.add(line)
        except TimeoutError:
            names = " and ".join(invocation.tool for invocation in invocations)
            raise ToolHung(
                f"{names} logged nothing for {silent_seconds / 60:.0f} minutes and was terminated. The end of its log:\n"
                f"{tool_log.end()}"
            ) from None
        codes = [guard.wait() for guard in guards]
    if any(codes):
        ends = " and ".join(
            f"{invocation.tool} ended with exit code {code}"
            for invocation, code in zip(invocations, codes, strict=True)
        )
        raise ToolFailed(f"{ends}. The end of its log:\n{tool_log.end()}")


@contextmanager
def _start_tools(
    invocations: Sequence[Invocation], private: Path
) -> Iterator[tuple[int, list[subprocess.Popen[bytes]]]]:
    """Yield the file descriptor of the tools' log and the guards that they run under. Leaving the block ends the tools that
    are still running.
    """
    guards: list[subprocess.Popen[bytes]] = []
    # Nothing is ever written to the lifeline: the guards see its end when we close it or our process ends.
    lifeline, our_end = os.pipe()
    log, logged = os.pipe()
    links = [os.pipe() for _ in invocations[1:]]
    try:
        try:
            for position, invocation in enumerate(invocations):
                source = links[position - 1][0] if position > 0 else subprocess.DEVNULL
                target = links[position][1] if position < len(links) else subprocess.DEVNULL
                config = private / f"{position}.yaml"
                guards.append(_start(invocation, config, lifeline, source, target, logged))
        finally:
            for number in (lifeline, logged, *(number for link in links for number in link)):
                os.close(number)
        yield log, guards
    finally:
        os.close(log)
        os.close(our_end)
        for guard in guards:
            _wait_until_ended(guard)


def _read_lines(log: int, silent_seconds: float) -> Iterator[str]:
    """Yield each line of a pipe until its other end is closed.

    Raises:
        TimeoutError: nothing came for `silent_seconds`.
    """
    rest = b""
    while True:
        readable, _, _ = select.select([log], [], [], silent_seconds)
        if not readable:
            raise TimeoutError
        chunk = os.read(log, _READ_BYTES)
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
        if not chunk:
            yield rest.decode(errors="replace")
            return


def _start(
    invocation: Invocation, config: Path, lifeline: int, source: int, target: int, log: int
) -> subprocess.Popen[bytes]:
    with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        # JSON is valid YAML, and quotes everything.
        json.dump({"uri": address_for_tools(invocation.uri)}, file)
    guard = [
        sys.executable,
        "-m",
        "nmdc_release_ops.mongo.programs.guard",
        f"--lifeline={lifeline}",
        f"--remove={config}",
    ]
    tool = shutil.which(invocation.tool) or invocation.tool
    return subprocess.Popen(
        [*guard, tool, f"--config={config}", *invocation.arguments],
        stdin=source,
        stdout=target,
        stderr=log,
        pass_fds=[lifeline],
        # Ctrl-C in the terminal interrupts only us; we end the tools.
        start_new_session=True,
        env=environment_without_secrets(),
    )


def _wait_until_ended(guard: subprocess.Popen[bytes]) -> None:
    try:
        guard.wait(timeout=SHUTDOWN_SECONDS + 15)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()


class _ToolLog:
    """Passes on what tools log, without secrets, and no faster than people can read."""

    # Always passed on; the rest is progress.
    _EVENTS = re.compile(r"done dumping|finished restoring|failed|error|warning", re.IGNORECASE)

    def __init__(self, log: Log, secrets: Sequence[str]) -> None:
        self._log = log
        self._secrets = secrets
        self._last: deque[str] = deque(maxlen=LINES_IN_ERRORS)
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES

    def add(self, logged: str) -> None:
        # Each line begins with the time and a tab.
        line = (logged.partition("\t")[2] or logged).strip()
        line = mask(line, self._secrets)
        if not line:
            return
        self._last.append(line)
        if self._EVENTS.search(line) or time.monotonic() >= self._next:
            self._next = time.monotonic() + SECONDS_BETWEEN_LINES
            self._log(line)

    def end(self) -> str:
        return "\n".join(self._last)


def _version(tool: str) -> str:
    try:
        answer = subprocess.run(
            [tool, "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
            env=environment_without_secrets(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolsMissing(
            f"{shutil.which(tool)} does not run: {error}. Install the MongoDB Database Tools, or launch with engine: native."
        ) from error
    return answer.stdout.partition("version:")[2].partition("\n")[0].strip() or "unknown"


def _oldest() -> str:
    return ".".join(str(number) for number in OLDEST_VERSION)
