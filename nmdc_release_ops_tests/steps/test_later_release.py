"""A run of a release that a later one has followed says so, and does not tell the old version as the origin's."""

from types import SimpleNamespace
from typing import Any

import pytest

from nmdc_release_ops.mongo.state.journal import AlreadySwapped
from nmdc_release_ops.steps.restore import _find_begun_swap
from nmdc_release_ops_tests.mongo.state.test_ledger import RUN, client, origin, release, roll_back, transformer

__all__ = ["RUN", "client", "origin", "transformer"]


pytestmark = pytest.mark.faults


def test_restore_refuses_when_a_later_release_is_in_force(origin: Any, transformer: Any) -> None:
    connected: Any = SimpleNamespace(client=origin.client, database=origin)
    plan: Any = SimpleNamespace(release_id="a-release")
    release(origin, transformer)
    assert _find_begun_swap(connected, plan) is not None
    release(origin, transformer, "the-next")
    with pytest.raises(AlreadySwapped, match="release the-next since"):
        _find_begun_swap(connected, plan)
    roll_back(origin)
    assert _find_begun_swap(connected, plan) is not None
