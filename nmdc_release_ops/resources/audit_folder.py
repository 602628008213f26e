"""Where audits of a database work, and what is kept of them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nmdc_release_ops.files import lock, sha256_of, sync, write_whole, writing
from nmdc_release_ops.mongo.server.progress import Log

VIOLATIONS = "violations.jsonl"
NOT_REPORTED = "not-reported"
"""A file of an audit whose notice could not be sent."""
KEPT = 14
"""How many audits' reports are kept."""
_WORK = "work"
_DIGEST = "violations.sha256"
_VERDICTS = "verdicts"


@dataclass(frozen=True)
class AuditFolder:
    """The folder of all audits of one database.

    Attributes:
        path: holds a folder for each audit that is complete, named by its time; the one that works; and the verdicts of the
            last one.
    """

    path: Path

    @contextmanager
    def work(self) -> Iterator[Path]:
        """An empty folder for as long as the block lasts, for one audit at a time. What an earlier one left is removed.

        Raises:
            BlockingIOError: another audit is at work.
            FileNotWritten.
        """
        folder = self.path / _WORK
        with writing(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lock(folder, wait=False):
            try:
                shutil.rmtree(folder, ignore_errors=True)
                with writing(folder):
                    folder.mkdir(mode=0o700)
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def find_last(self, log: Log) -> Path | None:
        """The folder of the newest audit with which the next is compared; None if there is none.

        One whose new violations nobody was told of is passed over, so that they still count as new.

        Args:
            log: receives which audits are passed over because their list of violations is not what was written.
        """
        for folder in reversed(self._complete()):
            if (folder / NOT_REPORTED).exists():
                continue
            if _is_whole(folder):
                return folder
            log(f"{folder / VIOLATIONS} is damaged. The violations are compared with those of an earlier audit.")
        return None

    def name(self, run_id: str) -> Path:
        """The folder that the audit of a run will have, when it is complete."""
        now = datetime.now(UTC)
        return self.path / f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z-{run_id[:8]}"

    def keep(self, reports: Path, folder: Path, *, is_reported: bool) -> None:
        """Make the reports of a complete audit the last ones, durably, and remove the oldest.

        Args:
            reports: in the working folder.
            folder: as `name` gives it.
            is_reported: False if people should have been told of new violations, and could not be.

        Raises:
            FileNotWritten.
        """
        with writing(folder):
            write_whole(reports / _DIGEST, sha256_of(reports / VIOLATIONS))
            if not is_reported:
                write_whole(reports / NOT_REPORTED, "The notice of what is new could not be sent.\n")
            for file in (*reports.iterdir(), reports):
                sync(file)
            reports.rename(folder)
        complete = self._complete()
        reported = [one for one in complete if not (one / NOT_REPORTED).exists()]
        for old in complete[:-KEPT]:
            # The next audit is compared with it.
            if old not in reported[-1:]:
                shutil.rmtree(old, ignore_errors=True)

    def verdicts(self, judging: str) -> Path:
        """The folder of the verdicts of the last audit, if it judged in the same way; need not exist.

        Args:
            judging: the digest of what they depend on; see `schema.environments.judging`.
        """
        return self.path / _VERDICTS / judging

    def keep_verdicts(self, verdicts: Path, judging: str) -> None:
        """Make the verdicts of a complete audit those of the last one, and remove all others.

        Args:
            verdicts: their folder, within the working folder.

        Raises:
            FileNotWritten: then there are none.
        """
        kept = self.verdicts(judging)
        shutil.rmtree(kept.parent, ignore_errors=True)
        with writing(kept):
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            verdicts.rename(kept)

    def _complete(self) -> list[Path]:
        return sorted(path for path in self.path.glob("[0-9]*Z-*") if path.is_dir())


def _is_whole(folder: Path) -> bool:
    """Whether the list of violations is what was written."""
    try:
        return (folder / _DIGEST).read_text() == sha256_of(folder / VIOLATIONS)
    except OSError:
        return False
