"""Runs in a schema release's environment: a process pool and the functions that its processes import by name.

Argument: a folder. Prints a JSON object: case -> result.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from worker.process_pool import ITEMS_AHEAD, ProcessKilled, ProcessPool

ITEMS = 300


def double(number: int) -> int:
    return 2 * number


def double_unless_first(folder: str, number: int) -> int:
    """The process that works on number 20 is killed the first time."""
    flag = Path(folder, "killed once")
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
    results: dict[str, object] = {}
    taken, most, done = 0, 0, []

    def numbers() -> Iterator[int]:
        nonlocal taken
        for number in range(ITEMS):
            taken += 1
            yield number

    with ProcessPool(time.sleep, 0) as pool:
        for result in pool.map(double, numbers()):
            done.append(result)
            most = max(most, taken - len(done))
        results["in order"] = done == [2 * number for number in range(ITEMS)]
        results["taken ahead at most"] = [most, pool.processes * ITEMS_AHEAD + 1]
    with ProcessPool(time.sleep, 0) as pool:
        done = list(pool.map(partial(double_unless_first, sys.argv[1]), range(100)))
        results["one killed"] = done == [2 * number for number in range(100)]
        times = [len(Path(sys.argv[1], f"{number}.times").read_text()) for number in range(100)]
        results["done at most twice"] = [min(times), max(times)]
        results["continues"] = list(pool.map(double, range(3)))
    done = []
    try:
        with ProcessPool(time.sleep, 0) as pool:
            done.extend(pool.map(die, range(100)))
    except ProcessKilled as error:
        results["always killed"] = str(error)
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
