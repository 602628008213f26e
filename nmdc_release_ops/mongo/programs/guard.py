"""Runs one program, and ends it when the process that started the guard is gone for any reason.

`python -m nmdc_release_ops.mongo.programs.guard [--lifeline FD] [--remove FILE] PROGRAM ARGUMENT...`: the starting process
holds the other end of a pipe, our standard input or the file descriptor FD. When that end closes, because it was closed or
because its process was killed, the guard asks the program to shut down cleanly. On Linux the kernel also ends the program if
the guard itself is killed.
"""

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

SHUTDOWN_SECONDS = 60
_PR_SET_PDEATHSIG = 1


def _end_with_the_guard() -> None:
    # A program inherits the signals that the guard ignores.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main(arguments: list[str]) -> int:
    """Run a program until it or the lifeline ends; return its exit code."""
    options = _parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        return _run(options.program, options.lifeline)
    finally:
        if options.remove:
            options.remove.unlink(missing_ok=True)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="guard")
    parser.add_argument("--lifeline", type=int, default=0, help="file descriptor; standard input if not given")
    parser.add_argument("--remove", type=Path, help="a file that only the program needs; removed when it has ended")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def _run(command: list[str], lifeline: int) -> int:
    program = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL if lifeline == 0 else None,
        preexec_fn=_end_with_the_guard,
    )
    # The starting process writes nothing: a read returns only when it has ended or closed the pipe.
    while program.poll() is None and not _has_ended(lifeline, seconds=0.1):
        pass
    if program.poll() is None:
        program.terminate()
        # A suspended program would not react.
        program.send_signal(signal.SIGCONT)
        try:
            program.wait(timeout=SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            program.kill()
    return program.wait()


def _has_ended(lifeline: int, seconds: float) -> bool:
    readable, _, _ = select.select([lifeline], [], [], seconds)
    return bool(readable) and os.read(lifeline, 1) == b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
