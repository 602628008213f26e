"""Forks a process that has imported what workers need, for each `client.py`. Runs with an environment's own Python.

Arguments: the number of the socket that it listens at, the client's path, and a JSON object: by the name of a task, the Python
code to be executed before the task is first asked for. It ends when its standard input does.
"""

import gc
import json
import multiprocessing
import os
import resource
import selectors
import signal
import socket
import sys
import traceback
from contextlib import suppress
from types import ModuleType

MESSAGE_BYTES = 100_000
DESCRIPTORS = 64
_HIGH = 500
"""Below are the descriptors that a client may have."""


def main() -> None:
    number, client, ahead = sys.argv[1:]
    tasks: dict[str, str] = json.loads(ahead)
    # What these processes start is forked too.
    multiprocessing.set_executable(client)
    selector = selectors.DefaultSelector()
    running: set[int] = set()
    with socket.socket(fileno=int(number)) as listener:
        selector.register(listener, selectors.EVENT_READ, None)
        selector.register(0, selectors.EVENT_READ, None)
        while True:
            for key, _ in selector.select():
                if key.fileobj == 0:
                    return
                if key.fileobj is listener:
                    _fork(selector, running, tasks, listener.accept()[0])
                else:
                    _end(selector, running, *key.data)


def _fork(
    selector: selectors.BaseSelector, running: set[int], tasks: dict[str, str], connection: socket.socket
) -> None:
    received, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, DESCRIPTORS)
    if not received:
        connection.close()
        return
    message = json.loads(received)
    for task in tasks.keys() & set(message["arguments"]):
        exec(tasks.pop(task), {})  # noqa: S102
        gc.collect()
        gc.freeze()
    process = os.fork()
    if process == 0:
        _run(message, descriptors)
    for one in descriptors:
        os.close(one)
    running.add(process)
    ended = os.pidfd_open(process)
    selector.register(ended, selectors.EVENT_READ, (process, ended, connection))
    selector.register(connection, selectors.EVENT_READ, (process, ended, connection))


def _end(
    selector: selectors.BaseSelector, running: set[int], process: int, ended: int, connection: socket.socket
) -> None:
    """A process has ended, or its client is gone, or both."""
    if process not in running:
        return
    running.remove(process)
    selector.unregister(ended)
    selector.unregister(connection)
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    # If its client is gone at once, it does not lead a group yet.
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    with suppress(OSError):
        connection.send(str(status).encode())
    connection.close()
    os.close(ended)


def _run(message: dict[str, object], descriptors: list[int]) -> None:
    """Become what the client would have been."""
    try:
        os.setsid()
        numbers = message["descriptors"]
        # Out of the way of the numbers that they are to have.
        for place, one in enumerate(descriptors):
            os.dup2(one, _HIGH + place)
        os.closerange(3, _HIGH)
        for place, number in enumerate(numbers):
            os.dup2(_HIGH + place, number, inheritable=True)
        os.closerange(_HIGH, _HIGH + DESCRIPTORS)
        os.environ.clear()
        os.environ.update(message["environment"])
        os.chdir(message["folder"])
        resource.setrlimit(resource.RLIMIT_FSIZE, message["largest"])
        # Processes end with their parent. This one ends with its client, and has its client's.
        os.getppid = lambda: message["parent"]
        # As `python -c` has it.
        main_module = ModuleType("__main__")
        sys.modules["__main__"] = main_module
        code, sys.argv = message["code"], ["-c", *message["arguments"]]
        exec(compile(code, "<string>", "exec"), main_module.__dict__)  # noqa: S102
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
