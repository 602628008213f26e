"""What users wrote between a release and its rollback, and what the rollback does with it; kept in the journal."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from nmdc_release_ops.mongo.server.writes import Writes


class Fate(StrEnum):
    """What a rollback does with a collection that was written to since the release."""

    SET_ASIDE = "set aside"
    """The release brought the collection, which becomes staged again."""
    MOVED_ASIDE = "moved aside"
    """Somebody created the collection under a name that an earlier collection gets back."""
    LEFT_IN_PLACE = "left in place"
    """The release did not touch the collection, or only renamed it."""


class Written(BaseModel):
    """A collection that was written to since a release.

    Attributes:
        writes: number of writes by kind; None where they cannot be determined.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    fate: Fate
    writes: Writes | None
