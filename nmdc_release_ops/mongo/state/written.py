"""What a rollback does with what was written since a release; kept in its journal."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from nmdc_release_ops.mongo.server.writes import Writes


class Fate(StrEnum):
    """What a rollback does with what was written since the release."""

    SET_ASIDE = "set aside"
    """It is in a collection that the release brought, which becomes staged again."""
    MOVED_ASIDE = "moved aside"
    """It is in a collection that somebody created under a name that an earlier one gets back."""
    LEFT_IN_PLACE = "left in place"
    """It is in a collection that the release did not touch, or only renamed."""


class Written(BaseModel):
    """A collection that was written to since a release.

    Attributes:
        writes: how much; None where that cannot be determined.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    fate: Fate
    writes: Writes | None
