"""A real Dagster: webserver, daemon and code server, started as the pages say, and spoken to over GraphQL."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

START_SECONDS = 120
WORKSPACE = str(Path(__file__).parent.parent / "workspace.yaml")
LOCATION = "nmdc_release_ops"
"""As that file names it."""
REPOSITORY = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message } ... on RunConfigValidationInvalid { errors { message } } }
}"""
_REEXECUTE = """
mutation Reexecute($run: String!) {
  launchRunReexecution(reexecutionParams: {parentRunId: $run, strategy: FROM_FAILURE}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}"""
_REEXECUTE_STEPS = """
mutation Reexecute($params: ExecutionParams!) {
  launchRunReexecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}"""
_TERMINATE = """
mutation Terminate($run: String!) { terminateRun(runId: $run) { __typename ... on PythonError { message } } }"""
_RUN = """
query Run($run: ID!) {
  runOrError(runId: $run) { ... on Run { status stepStats { stepKey status } } }
}"""
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


class DagsterServer:
    """A running Dagster.

    Attributes:
        url: of its web page.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, **variables: Any) -> Any:
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60)
        answer.raise_for_status()
        body = answer.json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    def launch(self, config: Mapping[str, Any], job: str = "data_release") -> str:
        params = {"selector": {**REPOSITORY, "jobName": job}, "runConfigData": dict(config)}
        return self._run_id(self.ask(_LAUNCH, params=params)["launchRun"])

    def reexecute_from_failure(self, run_id: str) -> str:
        return self._run_id(self.ask(_REEXECUTE, run=run_id)["launchRunReexecution"])

    def reexecute_steps(
        self, run_id: str, steps: list[str], config: Mapping[str, Any], job: str = "data_release"
    ) -> str:
        params = {
            "selector": {**REPOSITORY, "jobName": job},
            "runConfigData": dict(config),
            "stepKeys": steps,
            "executionMetadata": {"parentRunId": run_id, "rootRunId": run_id},
        }
        return self._run_id(self.ask(_REEXECUTE_STEPS, params=params)["launchRunReexecution"])

    def cancel(self, run_id: str) -> None:
        answer = self.ask(_TERMINATE, run=run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def wait(self, run_id: str, seconds: float = 180) -> tuple[str, dict[str, str]]:
        """The status of a run that has ended, and of each of its steps."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            run = self.ask(_RUN, run=run_id)["runOrError"]
            if run["status"] in _ENDED:
                return run["status"], {step["stepKey"]: step["status"] for step in run["stepStats"]}
            time.sleep(0.5)
        raise AssertionError(f"run {run_id} did not end within {seconds} s: {run}")

    @staticmethod
    def _run_id(answer: Any) -> str:
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])


@contextmanager
def dagster_server(
    environment: Mapping[str, str], log_path: str, target: Sequence[str] = ("-w", WORKSPACE)
) -> Iterator[DagsterServer]:
    """A Dagster with these variables, for as long as the block lasts; none of its processes outlives it.

    target: what it loads, as options of `dagster dev`.
    """
    port = _free_port()
    with _serving(["dagster", "dev", *target, "-h", "127.0.0.1", "-p", port], port, environment, log_path) as one:
        yield one


@contextmanager
def demo_ui(environment: Mapping[str, str], log_path: str, *, scale: int) -> Iterator[DagsterServer]:
    """What `make ui` starts: a Dagster and the demo's origin, until Ctrl-C.

    Args:
        scale: about how many documents the origin has.
    """
    port = _free_port()
    arguments = ["ui", "--port", port, "--scale", str(scale), "--workspace", WORKSPACE]
    with _serving(["nmdc_release_ops.demo", *arguments], port, environment, log_path) as one:
        yield one


@contextmanager
def _serving(module: list[str], port: str, environment: Mapping[str, str], log_path: str) -> Iterator[DagsterServer]:
    process = _start(module, environment, log_path)
    try:
        server = DagsterServer(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if requests.get(f"{server.url}/server_info", timeout=5).ok:
                    break
            except requests.ConnectionError:
                pass
            assert process.poll() is None, f"it ended: {Path(log_path).read_text()}"
            assert time.monotonic() < deadline, "it did not start"
            time.sleep(0.3)
        yield server
    finally:
        _end(process)


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextmanager
def dagster_daemon(environment: Mapping[str, str], log_path: str) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon alone, with a code server of its own: queue, sensors and runs without the UI."""
    process = _start(["dagster._daemon", "run", "-w", WORKSPACE], environment, log_path)
    try:
        yield process
    finally:
        _end(process)


def turn_on(sensor: str, environment: Mapping[str, str]) -> None:
    """Turn a sensor on, as an operator does on the command line."""
    _switch("start", sensor, environment)


def turn_off(sensor: str, environment: Mapping[str, str]) -> None:
    """Turn a sensor off, as one click in the UI does."""
    _switch("stop", sensor, environment)


def _switch(action: str, sensor: str, environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "dagster", "sensor", action, sensor, "-w", WORKSPACE]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _start(module: list[str], environment: Mapping[str, str], log_path: str) -> subprocess.Popen[bytes]:
    with open(log_path, "ab") as log:  # noqa: PTH123
        return subprocess.Popen(
            [sys.executable, "-m", *module],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Where the tests were started in the background, interrupts are ignored, and that is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, then end whatever it started that is still there, also where it died by itself."""
    family = [found for found in psutil.process_iter() if _is_of_session(found.pid, process.pid)]
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    for left in alive:
        left.kill()


def _is_of_session(pid: int, session: int) -> bool:
    try:
        return os.getsid(pid) == session
    except ProcessLookupError:
        return False
