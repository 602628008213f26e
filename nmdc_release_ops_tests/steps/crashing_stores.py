"""What a promotion keeps on disk, where everything ends at once at some use of it, as in a crash."""

from typing import Any

from nmdc_release_ops.steps.promoting.stores import Stores


class PowerCut(BaseException):
    """Ends everything at once."""


class Countdown:
    """Ends everything at a certain use."""

    def __init__(self, uses: int) -> None:
        """Args:
        uses: the last one, which is begun before the end if it is even, and not if it is odd.
        """
        self._left = uses
        self.last = ""

    def count(self, name: str, call: Any, *args: Any, **kwargs: Any) -> Any:
        self._left -= 1
        if self._left > 0:
            return call(*args, **kwargs)
        self.last = name
        if self._left % 2 == 0:
            call(*args, **kwargs)
        raise PowerCut(name)


class _Counted:
    """Any store, of which each use is counted."""

    def __init__(self, store: Any, countdown: Countdown) -> None:
        self._store = store
        self._countdown = countdown

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found
        place = f"{type(self._store).__name__}.{name}"
        return lambda *args, **kwargs: self._countdown.count(place, found, *args, **kwargs)


def crashing_stores(stores: Stores, countdown: Countdown) -> Stores:
    """The same stores, of which those that a round changes are counted down."""
    counted: dict[str, Any] = {
        name: _Counted(getattr(stores, name), countdown) for name in ("pending", "rehearsed", "staged", "identities")
    }
    return Stores(**counted, validation=stores.validation)
