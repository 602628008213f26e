"""How long a release will block writes, predicted from its rehearsal, from earlier ones, or from what was measured elsewhere."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict
from pymongo.database import Database

from nmdc_release_ops.folders import ARCHIVE, releases_folder
from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged, Manifest, read_manifest
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.identity import ServerIdentity
from nmdc_release_ops.mongo.state.journal import list_journals
from nmdc_release_ops.mongo.state.lease import freezes_of
from nmdc_release_ops.units import duration

FIXED_SECONDS = 6.0
SECONDS_PER_MILLION = 25.0
"""Measured on two cores, see docs/performance.md: what a release blocks writes for, and how that grows with the documents."""
PROMOTION_SECONDS = 1.0
"""Measured too, at any size, where people write little to what migrators use."""
# Beside what is rehearsed: documents are staged at about this rate; freezing, swapping and thawing take about a second.
_STAGED_A_SECOND = 20_000
_SWAP_SECONDS = 1.0
_LOOKED_AT = 10


class Prediction(BaseModel):
    """How long writes will be blocked.

    Attributes:
        basis: what the prediction is made from, for people.
    """

    model_config = ConfigDict(frozen=True)

    seconds: float
    basis: str

    def __str__(self) -> str:
        return f"about {duration(self.seconds)} ({self.basis})"


class BlockedTime(BaseModel):
    """The predictions for a release that freezes first, and for one that promotes what was rehearsed."""

    model_config = ConfigDict(frozen=True)

    release: Prediction
    promotion: Prediction


def predict_blocked(database: Database[Document], origin: ServerIdentity, home: Path, documents: int) -> BlockedTime:
    """Predict from the newest earlier release of either sort whose manifest is still there.

    Args:
        origin: identifies the server that `database` is connected with.
        home: `NMDC_RELEASE_HOME`.
        documents: that will be released.
    """
    release = promotion = None
    folder = releases_folder(home, origin, database.name)
    for journal in list_journals(database.client, database.name)[:_LOOKED_AT]:
        manifest = _find_manifest(folder / journal.release_id)
        seconds = sum(freeze.seconds for freeze in freezes_of(database.client, journal.release_id))
        if manifest is None or not seconds:
            continue
        if manifest.was_frozen:
            release = release or _scale(journal.release_id, seconds, manifest.documents, documents)
        else:
            says = f"release {journal.release_id} took {duration(seconds)}"
            promotion = promotion or Prediction(seconds=seconds, basis=says)
    measured = "measured elsewhere: docs/performance.md"
    expected = FIXED_SECONDS + SECONDS_PER_MILLION * documents / 1_000_000
    return BlockedTime(
        release=release or Prediction(seconds=expected, basis=measured),
        promotion=promotion or Prediction(seconds=PROMOTION_SECONDS, basis=measured),
    )


def predict_rehearsed(worked: float, staged: int) -> Prediction:
    """Predict for a release that freezes first, from its rehearsal.

    Args:
        worked: seconds that the rehearsal took for dumping, migrating and validating.
        staged: documents that the release will write.
    """
    basis = f"its rehearsal took {duration(worked)} to dump, migrate and validate, and {staged:,} documents are staged"
    return Prediction(seconds=worked + staged / _STAGED_A_SECOND + _SWAP_SECONDS, basis=basis)


def _scale(release_id: str, seconds: float, had: int, documents: int) -> Prediction:
    """What an earlier release took, for another number of documents. The fixed part does not grow."""
    growing = max(0.0, seconds - FIXED_SECONDS)
    expected = min(seconds, FIXED_SECONDS) + growing * documents / max(1, had)
    basis = f"release {release_id} took {duration(seconds)} for {had:,} documents"
    return Prediction(seconds=expected, basis=basis)


def _find_manifest(release: Path) -> Manifest | None:
    """Of the archive; it is kept when the archive is removed."""
    for folder in (release / ARCHIVE, release):
        try:
            return read_manifest(folder)
        except (ArchiveDamaged, OSError):
            continue
    return None
