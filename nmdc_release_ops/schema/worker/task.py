"""Waiting for a task: a worker is started before it is needed, imports what it needs, and is then told what to do.

Its standard input is a socket to the process that started it. It sends an empty line when it is ready, and receives a line
with a JSON object: the task's variables, as they would stand in the environment. Later requests go through it too.
Where it is no socket, the task begins at once, and its variables do stand in the environment.
"""

import json
import os
import socket
import stat

from .ending import PARENT_GONE, end_now

_RECEIVE_BYTES = 65_536


def take_channel() -> socket.socket | None:
    """The channel to the process that started this one. Nothing that this process starts inherits it, or reads from it."""
    if not stat.S_ISSOCK(os.fstat(0).st_mode):
        return None
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return channel


def wait_for_task(channel: socket.socket | None) -> None:
    """Report that this process is ready, and wait for its task, whose variables are then in `os.environ`.

    If the process that started this one ends or needs it no more, this one ends.
    """
    if channel is None:
        return
    line = b""
    try:
        channel.sendall(b"\n")
        while not line.endswith(b"\n"):
            if not (received := channel.recv(_RECEIVE_BYTES)):
                end_now(PARENT_GONE)
            line += received
    except ConnectionError:
        end_now(PARENT_GONE)
    os.environ.update(json.loads(line))


def ask(channel: socket.socket | None, request: str) -> None:
    """Have the process that started this one do something, and wait until it is done.

    If it does not do it, it ends this process.
    """
    if channel is None:
        raise RuntimeError("there is nobody to ask")
    try:
        channel.sendall(json.dumps(request).encode() + b"\n")
        answer = channel.recv(1)
    except ConnectionError:
        answer = b""
    if answer != b"\n":
        end_now(PARENT_GONE)
