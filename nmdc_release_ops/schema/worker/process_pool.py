"""A pool of processes that work on many items side by side. A process that is killed is replaced."""

import atexit
import logging
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from .ending import die_with_parent, end_now

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_PROCESSES = 8
ITEMS_AHEAD = 2
"""How many items per process are submitted before the first result is read."""


class ProcessKilled(Exception):
    """A process was killed while it worked on an item, and so was the process that retried it."""


@dataclass
class _Submitted(Generic[Item, Result]):
    item: Item
    future: "Future[Result]"
    is_retry: bool = False


class ProcessPool(AbstractContextManager["ProcessPool"]):
    """One process for each core that this process may use, up to `MAX_PROCESSES`."""

    def __init__(self, initializer: Callable[..., None], *arguments: Any) -> None:
        """Args:
        initializer: a module-level function. Each process calls it with `arguments` when it starts.
        """
        self._initializer = (initializer, arguments)
        # Only Linux reports which cores this process may use.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.processes = min(cores, MAX_PROCESSES)
        self._executor = self._start()

    def start(self) -> None:
        """Start every process, and wait until each has called the initializer. Otherwise `map` does."""
        # Whatever is wrong with them, `map` reports it.
        with suppress(BrokenProcessPool):
            for started in [self._executor.submit(_do_nothing) for _ in range(self.processes)]:
                started.result()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The result of `function`, a module-level function, for each item, in order.

        Few items are taken ahead of the results that are read. If a process is killed, its unfinished items are retried once.

        Raises:
            ProcessKilled: the retry was killed too.
        """
        submitted: deque[_Submitted[Item, Result]] = deque()
        for item in items:
            submitted.append(self._submit(function, item, submitted))
            if len(submitted) > ITEMS_AHEAD * self.processes:
                yield self._next_result(function, submitted)
        while submitted:
            yield self._next_result(function, submitted)

    def _submit(
        self, function: Callable[[Item], Result], item: Item, submitted: deque[_Submitted[Item, Result]]
    ) -> _Submitted[Item, Result]:
        try:
            return _Submitted(item, self._executor.submit(function, item))
        except BrokenProcessPool:
            self._restart(function, submitted)
            return _Submitted(item, self._executor.submit(function, item))

    def _next_result(self, function: Callable[[Item], Result], submitted: deque[_Submitted[Item, Result]]) -> Result:
        while True:
            try:
                result = submitted[0].future.result()
            except BrokenProcessPool:
                self._restart(function, submitted)
            else:
                submitted.popleft()
                return result

    def _restart(self, function: Callable[[Item], Result], submitted: deque[_Submitted[Item, Result]]) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        lost = [one for one in submitted if isinstance(one.future.exception(), BrokenProcessPool)]
        if any(one.is_retry for one in lost):
            raise ProcessKilled(
                "A process was killed or could not start, and so was the process that retried its work."
            )
        logging.getLogger("process_pool").warning(
            "A process was killed or could not start. The work that it did not finish is retried once. Check that there is "
            "enough memory."
        )
        self._executor = self._start()
        for one in lost:
            one.is_retry = True
            one.future = self._executor.submit(function, one.item)

    def _start(self) -> ProcessPoolExecutor:
        # Spawned, so that no process inherits another's connections.
        return ProcessPoolExecutor(
            self.processes,
            multiprocessing.get_context("spawn"),
            initializer=_initialise,
            initargs=(os.getpid(), *self._initializer),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


def _do_nothing() -> None:
    """A process that is free is not started again, so each of these starts one."""


def _initialise(parent: int, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    die_with_parent(parent)
    initializer(*arguments)
    # Functions registered last run first, so the ones of the libraries are skipped. By then all results have been sent.
    atexit.register(end_now, 0)
