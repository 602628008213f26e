"""Where audits of a database work, and what is kept of them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nmdc_release_ops.files import lock, writing

VIOLATIONS = "violations.jsonl"
KEPT = 14
"""How many audits' reports are kept."""
_WORK = "work"
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

    @property
    def last(self) -> Path | None:
        """The folder of the last audit that was complete; None if there was none."""
        complete = self._complete()
        return complete[-1] if complete else None

    def name(self, run_id: str) -> Path:
        """The folder that the audit of a run will have, when it is complete."""
        return self.path / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{run_id[:8]}"

    def keep(self, reports: Path, folder: Path) -> None:
        """Make the reports of a complete audit the last ones, and remove the oldest.

        Args:
            reports: in the working folder.
            folder: as `name` gives it.

        Raises:
            FileNotWritten.
        """
        with writing(folder):
            reports.rename(folder)
        for old in self._complete()[:-KEPT]:
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
