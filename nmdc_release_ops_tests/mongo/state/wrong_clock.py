"""A machine whose clock is wrong."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from nmdc_release_ops.mongo.server import clock


def shift_our_clock(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """As if this were a machine whose clock is wrong by that much."""

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + by

    monkeypatch.setattr(clock, "datetime", Shifted)
