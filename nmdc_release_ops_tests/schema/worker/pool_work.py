"""Runs in a schema release's environment: work for a crew, found by its name in the processes that do it.

Argument: a folder. Prints a JSON object: case -> what came of it.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from worker.process_pool import AHEAD, Crew, ProcessKilled

PARTS = 300


def double(number: int) -> int:
    return 2 * number


def double_unless_first(folder: str, number: int) -> int:
    """The process of the part with the number 20 dies the first time."""
    flag = Path(folder, "was here")
    if number == 20 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with Path(folder, f"{number}.times").open("a") as file:
        file.write("x")
    return 2 * number


def die(number: int) -> int:
    if number == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def main() -> None:
    found: dict[str, object] = {}
    handed_out, most, done = 0, 0, []

    def numbers() -> Iterator[int]:
        nonlocal handed_out
        for number in range(PARTS):
            handed_out += 1
            yield number

    with Crew(time.sleep, 0) as crew:
        for result in crew.do(double, numbers()):
            done.append(result)
            most = max(most, handed_out - len(done))
        found["in order"] = done == [2 * number for number in range(PARTS)]
        found["handed out at most"] = [most, crew.processes * AHEAD + 1]
    with Crew(time.sleep, 0) as crew:
        done = list(crew.do(partial(double_unless_first, sys.argv[1]), range(100)))
        found["one killed"] = done == [2 * number for number in range(100)]
        times = [len(Path(sys.argv[1], f"{number}.times").read_text()) for number in range(100)]
        found["done at most twice"] = [min(times), max(times)]
        found["goes on"] = list(crew.do(double, range(3)))
    done = []
    try:
        with Crew(time.sleep, 0) as crew:
            done.extend(crew.do(die, range(100)))
    except ProcessKilled as error:
        found["always killed"] = str(error)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
