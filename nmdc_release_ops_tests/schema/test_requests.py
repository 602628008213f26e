"""A worker's requests are answered one after the other, and it is ended if one cannot be."""

import subprocess
import sys
import time

import psutil
import pytest

from nmdc_release_ops.schema.processes import TookTooLong, wait_for
from nmdc_release_ops.schema.requests import Requests

# Asks for three things; ends with the number of answers.
ASKS = """
import json, socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
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


def start(code: str, requests: Requests) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(requests.descriptor)],
        pass_fds=[requests.descriptor],
        start_new_session=True,
    )
    requests.release()
    return process


def test_each_request_is_answered_before_the_next() -> None:
    asked: list[str] = []
    with Requests(asked.append) as requests:
        code = wait_for(start(ASKS, requests), 60, serve=requests.serve)
    assert code == 3
    assert asked == ["thing\n0", "thing\n1", "thing\n2"]


def test_a_worker_whose_request_fails_is_ended_before_it_gets_an_answer() -> None:
    def answer(thing: str) -> None:
        if thing.endswith("1"):
            raise ValueError(thing)

    with Requests(answer) as requests:
        process = start(ASKS, requests)
        with pytest.raises(ValueError, match="thing"):
            wait_for(process, 60, serve=requests.serve)
    assert process.returncode < 0
    assert not psutil.pid_exists(process.pid)


def test_a_worker_that_ends_without_waiting_for_its_answers_is_not_waited_for() -> None:
    asked: list[str] = []
    with Requests(asked.append) as requests:
        code = wait_for(start(ENDS_EARLY, requests), 60, serve=requests.serve)
    assert code == 7


def test_the_time_for_which_a_worker_waits_for_answers_does_not_count() -> None:
    with Requests(lambda _: time.sleep(1)) as requests:
        assert wait_for(start(ASKS, requests), 2, serve=requests.serve) == 3


def test_the_time_limit_holds_for_a_worker_that_asks_for_nothing() -> None:
    started = time.monotonic()
    with Requests(lambda _: None) as requests, pytest.raises(TookTooLong):
        wait_for(start(CLOSES_IT, requests), 2, serve=requests.serve)
    assert time.monotonic() - started < 30
