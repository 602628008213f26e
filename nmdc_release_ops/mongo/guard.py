"""Runs one mongod and ends it when the process that asked for it is gone, however it went.

`python -m nmdc_release_ops.mongo.guard MONGOD ARGUMENT...`: the asking process holds the other end of our
standard input. When that end closes, because it was closed or because its process was killed, mongod is asked
to shut down cleanly. On Linux the kernel also ends mongod should this guard itself be killed.
"""

import ctypes
import select
import signal
import subprocess
import sys

SHUTDOWN_SECONDS = 60
_PR_SET_PDEATHSIG = 1


def _end_with_the_guard() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main(command: list[str]) -> int:
    """Run `command` until it ends or standard input does; return its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    mongod = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=_end_with_the_guard,
    )
    # The asking process writes nothing: a read only ever returns at the end of its life, or of mongod's.
    while mongod.poll() is None and not _input_has_ended(seconds=0.5):
        pass
    if mongod.poll() is None:
        mongod.terminate()
        try:
            mongod.wait(timeout=SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            mongod.kill()
    return mongod.wait()


def _input_has_ended(seconds: float) -> bool:
    readable, _, _ = select.select([sys.stdin.buffer], [], [], seconds)
    return bool(readable) and sys.stdin.buffer.read(1) == b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
