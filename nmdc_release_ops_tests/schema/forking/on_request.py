"""One folder of schema releases whose environments fork, for all workers of pytest: it is made when the first asks for it.

The process that started the workers makes it, and outlives them.
"""

import os
import socket
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops_tests.schema.forking.environments import forking_schema_folder

SOCKET = "NMDC_TESTS_FORKING"
"""The variable that says where workers ask for it."""
AUDITED = SchemaVersion.parse("11.23.0")
"""The version of the demo's database before any release: audits validate by it."""
RELEASED = [SchemaVersion.parse(version) for version in ("11.24.0", "11.25.0")]
"""Those that most tests release and rehearse, from the demo's version on."""
_FAILED = "failed\n"
_ANSWER_BYTES = 100_000


@contextmanager
def forking_on_request() -> Iterator[None]:
    """Make the folder for whoever asks while the block lasts. It is removed in the end, and its processes end."""
    # The path of a socket may have a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="forking") as folder, socket.socket(socket.AF_UNIX) as listener:
        os.environ[SOCKET] = f"{folder}/socket"
        listener.bind(os.environ[SOCKET])
        listener.listen(100)
        with ExitStack() as made:
            answering = threading.Thread(target=_answer, args=(listener, Path(folder) / "schema", made))
            answering.start()
            try:
                yield
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                answering.join()


def request_forking(home: Path) -> Path:
    """The folder, made from the schema releases in `home` when it is first asked for."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[SOCKET])
        connection.sendall(f"{home}\n".encode())
        with connection.makefile(encoding="utf-8") as answer:
            text = answer.read(_ANSWER_BYTES)
    if text.startswith(_FAILED):
        raise RuntimeError(text)
    return Path(text)


def _answer(listener: socket.socket, folder: Path, made: ExitStack) -> None:
    answer: str | None = None
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, connection.makefile(encoding="utf-8") as request:
            home = Path(request.readline().rstrip("\n"))
            if answer is None:
                answer = _make(folder, home, made)
            connection.sendall(answer.encode())


def _make(folder: Path, home: Path, made: ExitStack) -> str:
    versions = [AUDITED, *RELEASED]
    try:
        return str(made.enter_context(forking_schema_folder(folder, home, versions, versions)))
    except Exception:
        return f"{_FAILED}{traceback.format_exc()}"
