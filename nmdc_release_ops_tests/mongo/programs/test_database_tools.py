"""How the Database Tools are found and run. Programs of a few lines stand in for them where only processes matter."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nmdc_release_ops.mongo.programs import database_tools as tools
from nmdc_release_ops.mongo.programs.database_tools import (
    MONGODUMP,
    MONGORESTORE,
    Invocation,
    ToolFailed,
    ToolHung,
    ToolsMissing,
    find_tools,
    run,
)
from nmdc_release_ops.mongo.transfer.mongodump import dump_arguments
from nmdc_release_ops.mongo.transfer.mongorestore import copy_arguments, load_arguments

PASSWORD = "s3cret/and more"
URI = "mongodb://operator:s3cret%2Fand%20more@127.0.0.1:1/admin?directConnection=true"

StandIn = Callable[[str, str], None]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Puts a Python program on PATH under the name of a tool."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(tool: str, program: str) -> None:
        (folder / tool).write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{program}\n")
        (folder / tool).chmod(0o755)

    return make


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir(mode=0o700)
    return folder


def config_file(arguments: list[str]) -> Path:
    (path,) = [argument.removeprefix("--config=") for argument in arguments if argument.startswith("--config=")]
    return Path(path)


WRITE_WHAT_IS_SEEN = """
config = [a.removeprefix("--config=") for a in sys.argv if a.startswith("--config=")][0]
seen = {
    "arguments": sys.argv,
    "command line": open("/proc/self/cmdline").read() + open(f"/proc/{os.getppid()}/cmdline").read(),
    "environment": dict(os.environ),
    "mode": os.stat(config).st_mode & 0o777,
    "folder's mode": os.stat(os.path.dirname(config)).st_mode & 0o777,
    "config": json.load(open(config)),
}
json.dump(seen, open(sys.argv[-1], "w"))
"""


@pytest.mark.parametrize("code", [0, 1])
def test_the_password_is_in_a_file_of_ours_alone_that_does_not_outlive_the_tool(
    stand_in: StandIn, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setenv("NMDC_ORIGIN_URI", URI)
    stand_in(MONGODUMP, f"{WRITE_WHAT_IS_SEEN}\nsys.exit({code})")
    answer = tmp_path / "answer"
    try:
        run(Invocation(MONGODUMP, ["--gzip", str(answer)], URI), folder=release, log=lambda line: None)
    except ToolFailed:
        assert code == 1
    seen = json.loads(answer.read_text())
    assert seen["config"] == {"uri": URI.replace("/admin?", "/?") + "&authSource=admin"}
    assert (seen["mode"], seen["folder's mode"]) == (0o600, 0o700)
    assert "s3cret" not in seen["command line"] + json.dumps(seen["environment"])
    assert config_file(seen["arguments"]).is_relative_to(release)
    assert list(release.iterdir()) == []


def test_a_tool_that_fails_is_named_with_its_last_lines_and_without_the_password(
    stand_in: StandIn, release: Path
) -> None:
    stand_in(
        MONGORESTORE,
        f"""
for number in range(50):
    print(f"2026-01-01T00:00:00.000+0000\\tline {{number}}", file=sys.stderr)
print("2026-01-01T00:00:00.000+0000\\tFailed: cannot connect to {URI} with {PASSWORD}", file=sys.stderr)
sys.exit(3)
""",
    )
    logged: list[str] = []
    with pytest.raises(ToolFailed, match="mongorestore ended with exit code 3") as failure:
        run(Invocation(MONGORESTORE, [], URI), folder=release, log=logged.append)
    message = str(failure.value)
    assert "line 49" in message and "line 20" not in message
    assert "Failed: cannot connect to *** with ***" in message
    for text in (message, "\n".join(logged), repr(Invocation(MONGORESTORE, [], URI))):
        assert "s3cret" not in text


def test_the_log_is_told_as_it_comes_but_not_every_line_of_it(
    stand_in: StandIn, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "SECONDS_BETWEEN_LINES", 0.4)
    stand_in(
        MONGODUMP,
        """
for number in range(20):
    print(f"2026-01-01T00:00:00.000+0000\\t[####....]  nmdc.a_set  {number}/20", file=sys.stderr, flush=True)
    time.sleep(0.1)
print("2026-01-01T00:00:00.000+0000\\tdone dumping nmdc.a_set (20 documents)", file=sys.stderr)
""",
    )
    logged: list[tuple[float, str]] = []
    started = time.monotonic()
    run(
        Invocation(MONGODUMP, [], URI),
        folder=release,
        log=lambda line: logged.append((time.monotonic() - started, line)),
    )
    *progress, last = logged
    assert last[1] == "done dumping nmdc.a_set (20 documents)"
    assert 2 <= len(progress) <= 6
    assert progress[0][0] < last[0] - 0.8
    assert progress[0][1].startswith("[####....]  nmdc.a_set")


def test_what_one_tool_writes_the_next_one_reads(stand_in: StandIn, release: Path, tmp_path: Path) -> None:
    stand_in(MONGODUMP, "[sys.stdout.buffer.write(bytes(range(256)) * 4096) for _ in range(16)]")
    stand_in(MONGORESTORE, "open(sys.argv[-1], 'wb').write(sys.stdin.buffer.read())")
    answer = tmp_path / "answer"
    run(
        Invocation(MONGODUMP, [], URI),
        Invocation(MONGORESTORE, [str(answer)], URI),
        folder=release,
        log=lambda line: None,
    )
    assert answer.read_bytes() == bytes(range(256)) * 4096 * 16


@pytest.mark.parametrize(("first", "second"), [(1, 0), (0, 1)])
def test_when_one_of_two_fails_the_other_does_not_wait_for_it(
    stand_in: StandIn, release: Path, first: int, second: int
) -> None:
    """One that writes to, or reads from, a tool that is gone ends by itself."""
    writes = "while True: sys.stdout.buffer.write(bytes(65536))"
    stand_in(MONGODUMP, "sys.exit(1)" if first else writes)
    stand_in(MONGORESTORE, "sys.exit(1)" if second else "sys.stdin.buffer.read()")
    with pytest.raises(ToolFailed, match=r"mongodump ended with exit code \d+ and mongorestore ended with exit code"):
        run(Invocation(MONGODUMP, [], URI), Invocation(MONGORESTORE, [], URI), folder=release, log=lambda line: None)


GOES_ON = """
open(sys.argv[-1], "w").write(f"{os.getpid()} {os.getppid()}")
print("2026-01-01T00:00:00.000+0000\\tfailed to end", file=sys.stderr, flush=True)
time.sleep(60)
"""


def processes(answer: Path) -> list[int]:
    """Of the stand-in and of its guard."""
    deadline = time.monotonic() + 20
    while len(numbers := answer.read_text().split() if answer.exists() else []) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [int(number) for number in numbers]


def wait_until_gone(numbers: list[int]) -> None:
    deadline = time.monotonic() + 20
    for number in numbers:
        while Path(f"/proc/{number}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_run_that_is_cancelled_ends_its_tools(stand_in: StandIn, release: Path, tmp_path: Path) -> None:
    stand_in(MONGODUMP, GOES_ON)
    stand_in(MONGORESTORE, GOES_ON)

    def cancel(line: str) -> None:
        processes(tmp_path / "first")
        processes(tmp_path / "second")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            Invocation(MONGODUMP, [str(tmp_path / "first")], URI),
            Invocation(MONGORESTORE, [str(tmp_path / "second")], URI),
            folder=release,
            log=cancel,
        )
    wait_until_gone([*processes(tmp_path / "first"), *processes(tmp_path / "second")])
    assert list(release.iterdir()) == []


@pytest.mark.parametrize("killed", ["the run", "the guard"])
def test_a_tool_does_not_outlive_the_process_that_started_it_however_that_ends(
    stand_in: StandIn, release: Path, tmp_path: Path, killed: str
) -> None:
    stand_in(MONGODUMP, GOES_ON)
    answer = tmp_path / "answer"
    program = (
        "import sys; from pathlib import Path; from nmdc_release_ops.mongo.programs.database_tools import Invocation, run;"
        "run(Invocation('mongodump', [sys.argv[1]], sys.argv[3]), folder=Path(sys.argv[2]), log=print)"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", program, str(answer), str(release), "mongodb://u:p@127.0.0.1/"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    tool, guard = processes(answer)
    os.kill(started.pid if killed == "the run" else guard, signal.SIGKILL)
    started.wait(timeout=30)
    wait_until_gone([tool, guard])
    # A process that was killed leaves the folder; its guard has removed the file with the password.
    assert [path for path in release.rglob("*") if path.is_file()] == []


def test_tools_that_are_missing_are_named(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(MONGODUMP, "print('mongodump version: 100.9.4')")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ToolsMissing, match=r"needs mongorestore, not found on PATH.*or launch with engine: native"):
        find_tools()
    (tmp_path / "bin" / MONGODUMP).unlink()
    with pytest.raises(ToolsMissing, match="needs mongodump and mongorestore, not found on PATH"):
        find_tools()


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        ("100.9.4", True),
        ("100.3.0", True),
        ("built-without-version-string", True),
        ("100.2.1", False),
        ("r4.2.24", False),
    ],
)
def test_tools_that_cannot_read_a_file_with_the_password_are_refused(
    stand_in: StandIn, version: str, accepted: bool
) -> None:
    for tool in (MONGODUMP, MONGORESTORE):
        stand_in(tool, f"print('{tool} version: {version}\\ngit version: abc')")
    if accepted:
        assert find_tools() == version
    else:
        with pytest.raises(ToolsMissing, match=rf"is version {version}; .* needs 100\.3 or later"):
            find_tools()


def test_tools_that_do_not_run_are_refused(stand_in: StandIn) -> None:
    for tool in (MONGODUMP, MONGORESTORE):
        stand_in(tool, "sys.exit(127)")
    with pytest.raises(ToolsMissing, match="mongodump does not run"):
        find_tools()


def test_the_tools_are_told_what_to_do_by_these_arguments() -> None:
    assert dump_arguments("nmdc", ["jobs", "--odd name"], Path("/a")) == [
        "--db=nmdc",
        "--excludeCollection=jobs",
        "--excludeCollection=--odd name",
        "--gzip",
        "--out=/a",
    ]
    assert load_arguments("nmdc", "scratch", ["a*set"], Path("/a"))[2:] == [
        "--nsInclude=nmdc.*",
        "--nsFrom=nmdc.*",
        "--nsTo=scratch.*",
        r"--nsExclude=nmdc.a\*set",
        "--gzip",
        "--dir=/a",
    ]
    take, put = copy_arguments("scratch", r"a*\b", "nmdc", r"_release.staged.a*\b")
    assert take == ["--db=scratch", r"--collection=a*\b", "--archive"]
    assert put[2:] == [
        r"--nsInclude=scratch.a\*\\b",
        r"--nsFrom=scratch.a\*\\b",
        r"--nsTo=nmdc._release.staged.a\*\\b",
        "--archive",
    ]


@pytest.mark.parametrize("hang", ["time.sleep(600)", "os.kill(os.getpid(), 19)"], ids=["asleep", "suspended"])
def test_a_tool_that_logs_nothing_for_long_is_ended_and_the_step_fails(
    stand_in: StandIn, release: Path, tmp_path: Path, hang: str
) -> None:
    pid = tmp_path / "pid"
    stand_in(
        MONGODUMP,
        f"open({str(pid)!r}, 'w').write(str(os.getpid()))\nprint('begun', file=sys.stderr, flush=True)\n{hang}",
    )
    with pytest.raises(ToolHung, match=r"mongodump logged nothing for 0 minutes and was terminated[^$]*begun"):
        run(Invocation(MONGODUMP, [], URI), folder=release, log=lambda line: None, silent_seconds=2)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert list(release.iterdir()) == []
