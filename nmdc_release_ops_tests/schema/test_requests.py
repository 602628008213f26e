"""A worker's requests are answered one after the other, and it is ended if one cannot be."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from nmdc_release_ops.schema.processes import TookTooLong, wait_for
from nmdc_release_ops.schema.requests import Requests

# Reports that it is ready, and asks for three things; ends with the number of answers.
ASKS = """
import json, socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
channel.sendall(b"\\n")
answers = 0
for number in range(3):
    channel.sendall(json.dumps(f"thing\\n{number}").encode() + b"\\n")
    answers += channel.recv(1) == b"\\n"
sys.exit(answers)
"""
ENDS_EARLY = """
import json, socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
channel.sendall(b'"one"\\n"two"\\n')
sys.exit(7)
"""
CLOSES_IT = """
import socket, sys, time
socket.socket(fileno=int(sys.argv[1])).close()
time.sleep(60)
"""


def run(code: str, answer: Callable[[str], None], seconds: float = 60) -> int:
    """The exit code of a worker whose requests are answered."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", code, str(theirs.fileno())], pass_fds=[theirs.fileno()], start_new_session=True
            )
        return wait_for(process, seconds, serve=Requests(ours, answer).serve)


def test_each_request_is_answered_before_the_next() -> None:
    asked: list[str] = []
    assert run(ASKS, asked.append) == 3
    assert asked == ["thing\n0", "thing\n1", "thing\n2"]


def test_a_worker_whose_request_fails_is_ended_before_it_gets_an_answer() -> None:
    children = set(psutil.Process().children())

    def answer(thing: str) -> None:
        if thing.endswith("1"):
            raise ValueError(thing)

    with pytest.raises(ValueError, match="thing"):
        run(ASKS, answer)
    assert set(psutil.Process().children()) == children


def test_a_worker_that_ends_without_waiting_for_its_answers_is_not_waited_for() -> None:
    asked: list[str] = []
    assert run(ENDS_EARLY, asked.append) == 7


def test_the_time_for_which_a_worker_waits_for_answers_does_not_count() -> None:
    assert run(ASKS, lambda _: time.sleep(1), seconds=2) == 3


def test_the_time_limit_holds_for_a_worker_that_asks_for_nothing() -> None:
    started = time.monotonic()
    with pytest.raises(TookTooLong):
        run(CLOSES_IT, lambda _: None, seconds=2)
    assert time.monotonic() - started < 30
