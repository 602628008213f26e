"""What a step leaves open for a later step of the same run, so that nobody waits while it is opened again."""

from contextlib import ExitStack
from typing import Any

import dagster as dg
from pydantic import PrivateAttr


class KeptOpenResource(dg.ConfigurableResource[Any]):
    """Things that stay open between the steps of a run, as far as these are executed by one process.

    A step that is re-executed alone finds nothing, and opens what it needs itself.
    """

    _kept: dict[str, tuple[Any, ExitStack]] = PrivateAttr(default_factory=dict)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Close everything when the run ends."""
        while self._kept:
            self._kept.popitem()[1][1].close()

    def keep(self, name: str, value: Any, closing: ExitStack) -> None:
        """Leave something open.

        Args:
            closing: closes it.
        """
        self._kept[name] = value, closing

    def take(self, name: str) -> tuple[Any, ExitStack] | None:
        """What was kept under this name, and what closes it; None if nothing was."""
        return self._kept.pop(name, None)
