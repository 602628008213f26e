"""What forks for all workers of pytest, made when the first asks for it: a folder of schema releases whose environments do, and
a copy of the environment that the tests run in, for runs in processes of their own.

The process that started the workers makes them, and outlives them.
"""

import os
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops_tests.schema.forking.environments import forking_environment, forking_schema_folder
from nmdc_release_ops_tests.workplace import PROJECT

SOCKET = "NMDC_TESTS_FORKING"
"""The variable that says where workers ask for them."""
AUDITED = SchemaVersion.parse("11.23.0")
"""The version of the demo's database before any release: audits validate by it."""
RELEASED = [SchemaVersion.parse(version) for version in ("11.24.0", "11.25.0")]
"""Those that most tests release and rehearse, from the demo's version on."""
CRASHING_RUN = "nmdc_release_ops_tests.steps.crashing_run"
WAITING_RUN = "nmdc_release_ops_tests.steps.waiting_run"
_RUN_MODULE = "import runpy, sys; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
_FOR_A_RUN = f"""
import sys
sys.path.append({str(PROJECT)!r})
import alembic.command, sqlalchemy.dialects.sqlite
import dagster._core.execution.api, dagster._core.storage.event_log, dagster._core.storage.runs
import nmdc_release_ops.definitions
"""
_FAILED = "failed\n"
_ANSWER_BYTES = 100_000


@contextmanager
def forking_on_request() -> Iterator[None]:
    """Make them for whoever asks while the block lasts. They are removed in the end, and their processes end."""
    # The path of a socket may have a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="forking") as folder, socket.socket(socket.AF_UNIX) as listener:
        os.environ[SOCKET] = f"{folder}/socket"
        listener.bind(os.environ[SOCKET])
        listener.listen(100)
        with ExitStack() as made:
            answering = threading.Thread(target=_answer, args=(listener, Path(folder), made))
            answering.start()
            try:
                yield
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                answering.join()


def request_forking(home: Path) -> Path:
    """The folder of schema releases, made from those in `home` when it is first asked for."""
    return Path(_request(str(home)))


def forked(module: str, *arguments: str) -> list[str]:
    """The command that runs a module as `python -m` does, in a process that has imported what it needs where that is known."""
    return [_request(""), "-c", _RUN_MODULE, module, *arguments]


def _request(what: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[SOCKET])
        connection.sendall(f"{what}\n".encode())
        with connection.makefile(encoding="utf-8") as answer:
            text = answer.read(_ANSWER_BYTES)
    if text.startswith(_FAILED):
        raise RuntimeError(text)
    return text


def _answer(listener: socket.socket, folder: Path, made: ExitStack) -> None:
    answers: dict[str, str] = {}
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, connection.makefile(encoding="utf-8") as request:
            what = request.readline().rstrip("\n")
            if what not in answers:
                answers[what] = _make(folder, what, made)
            connection.sendall(answers[what].encode())


def _make(folder: Path, what: str, made: ExitStack) -> str:
    try:
        if what:
            versions = [AUDITED, *RELEASED]
            return str(made.enter_context(forking_schema_folder(folder / "schema", Path(what), versions, versions)))
        if sys.platform != "linux":
            return sys.executable
        made.enter_context(
            forking_environment(
                folder / "own", Path(sys.prefix), dict.fromkeys((CRASHING_RUN, WAITING_RUN), _FOR_A_RUN)
            )
        )
        return str(folder / "own" / "bin" / "python")
    except Exception:
        return f"{_FAILED}{traceback.format_exc()}"
