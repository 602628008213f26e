"""Runs a program and prints each line that it writes, with the seconds since its start in front.

Arguments: the command.
"""

import subprocess
import sys
import time


def main() -> int:
    started = time.monotonic()
    with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            last = line
            print(f"{time.monotonic() - started:.3f} {line.rstrip()}", flush=True)
    if process.returncode:
        print(last, file=sys.stderr)
    return process.returncode


sys.exit(main())
