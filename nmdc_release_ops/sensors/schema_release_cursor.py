"""What `schema_release_sensor` remembers from one tick to the next."""

from datetime import UTC, datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from nmdc_release_ops.resources.environment import OnNewRelease
from nmdc_release_ops.schema.packages.announced import Announced, Announcements, VersionText


class DealtWith(BaseModel):
    """The newest release that the sensor acted on, and its action."""

    model_config = ConfigDict(frozen=True)

    version: VersionText
    action: OnNewRelease
    run_key: str


class ReleaseCursor(BaseModel):
    """What `schema_release_sensor` remembers from one tick to the next.

    Attributes:
        repository: the one that is watched.
        since: when this cursor was created. Part of the run keys, so that an operator who resets the cursor gets another run.
        etag: of the list of releases that `announcements` was read from.
    """

    model_config = ConfigDict(frozen=True)

    repository: str
    include_prereleases: bool
    since: str
    etag: str | None = None
    announcements: Announcements = Announcements()
    dealt_with: DealtWith | None = None

    @classmethod
    def read(cls, text: str | None, repository: str, *, include_prereleases: bool) -> Self:
        """The cursor of the last tick; a new one if there is none, it cannot be read, or it is of another repository."""
        since = datetime.now(UTC).isoformat(timespec="microseconds")
        new = cls(repository=repository, include_prereleases=include_prereleases, since=since)
        try:
            kept = cls.model_validate_json(text or "")
        except ValidationError:
            return new
        if kept.repository != repository:
            return new
        if kept.include_prereleases != include_prereleases:
            return kept.model_copy(update={"include_prereleases": include_prereleases, "etag": None})
        return kept

    def record(self, newest: Announced, action: OnNewRelease) -> Self:
        """The cursor with `action` as what was done about `newest`."""
        run_key = f"{newest.version} {action} {self.since}"
        return self.model_copy(update={"dealt_with": DealtWith(version=newest.version, action=action, run_key=run_key)})
