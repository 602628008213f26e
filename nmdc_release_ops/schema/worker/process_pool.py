"""Processes that work side by side on parts of something, and are replaced when one of them is killed."""

import logging
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from .parent import die_with_parent

Part = TypeVar("Part")
Done = TypeVar("Done")

MOST_PROCESSES = 8
AHEAD = 2
"""How many parts per process are handed out before what came of the first of them has been read."""


class ProcessKilled(Exception):
    """A process died while it worked on a part, and another one while it did so again."""


@dataclass
class _UnderWay(Generic[Part, Done]):
    part: Part
    future: "Future[Done]"
    again: bool = False


class Crew(AbstractContextManager["Crew"]):
    """As many processes as there are cores for us."""

    def __init__(self, prepare: Callable[..., None], *arguments: Any) -> None:
        """Args:
        prepare: called with `arguments` in each process before anything else. Found by its name, as all that is to be done.
        """
        self._prepare = (prepare, arguments)
        # Linux tells which cores are ours; elsewhere it is all that there are.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.processes = min(cores, MOST_PROCESSES)
        self._pool = self._made()

    def do(self, work: Callable[[Part], Done], parts: Iterable[Part]) -> Iterator[Done]:
        """What comes of each part, in order. Only a few are under way, or waiting to be read, at any time.

        When a process dies, whatever was under way is done again, once.

        Raises:
            ProcessKilled: it happened to the same part twice.
        """
        under_way: deque[_UnderWay[Part, Done]] = deque()
        for part in parts:
            under_way.append(self._handed_out(work, part, under_way))
            if len(under_way) > AHEAD * self.processes:
                yield self._first(work, under_way)
        while under_way:
            yield self._first(work, under_way)

    def _handed_out(
        self, work: Callable[[Part], Done], part: Part, under_way: deque[_UnderWay[Part, Done]]
    ) -> _UnderWay[Part, Done]:
        try:
            return _UnderWay(part, self._pool.submit(work, part))
        except BrokenProcessPool:
            self._replace(work, under_way)
            return _UnderWay(part, self._pool.submit(work, part))

    def _first(self, work: Callable[[Part], Done], under_way: deque[_UnderWay[Part, Done]]) -> Done:
        while True:
            try:
                done = under_way[0].future.result()
            except BrokenProcessPool:
                self._replace(work, under_way)
            else:
                under_way.popleft()
                return done

    def _replace(self, work: Callable[[Part], Done], under_way: deque[_UnderWay[Part, Done]]) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        lost = [one for one in under_way if isinstance(one.future.exception(), BrokenProcessPool)]
        if any(one.again for one in lost):
            raise ProcessKilled("a process was killed, or could not begin, and so was the one that did its work again")
        logging.getLogger("crew").warning(
            "a process was killed, or could not begin; what it and the others had begun is done again, once (is there enough "
            "memory?)"
        )
        self._pool = self._made()
        for one in lost:
            one.again = True
            one.future = self._pool.submit(work, one.part)

    def _made(self) -> ProcessPoolExecutor:
        # Spawned, so that no process inherits another's connections.
        return ProcessPoolExecutor(
            self.processes,
            multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(os.getpid(), *self._prepare),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _begin(parent: int, prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    die_with_parent(parent)
    prepare(*arguments)
