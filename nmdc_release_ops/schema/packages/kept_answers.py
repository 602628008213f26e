"""What the package index answered before, for when it is out of reach.

Only an index that does not answer is stood in for, and never one that refuses access or sends something else: what it would say
today may be something else. Who uses such an answer says from when it is.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nmdc_release_ops.files import FileNotWritten, lock, write_whole
from nmdc_release_ops.schema.version import SchemaVersion


@dataclass(frozen=True)
class Answer:
    """What the index said.

    Attributes:
        version: the release that meets the requirement; None if it lists releases, and none does.
        given_at: UTC.
    """

    version: SchemaVersion | None
    given_at: datetime


class KeptAnswers:
    """Answers in a file, by question: a requirement, and which of several releases is wanted."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def keep(self, requirement: str, resolution: str, version: SchemaVersion | None) -> None:
        """Keep an answer that was just given. That it cannot be written is not reported: the answer itself is there."""
        answer = {"version": None if version is None else str(version), "given_at": datetime.now(UTC).isoformat()}
        with suppress(FileNotWritten, OSError), lock(self._file):
            kept = {**self._read(), _question(requirement, resolution): answer}
            write_whole(self._file, json.dumps(kept, indent=1, sort_keys=True))

    def find(self, requirement: str, resolution: str) -> Answer | None:
        """The last answer; None if there is none that can be read."""
        kept: Any = self._read().get(_question(requirement, resolution))
        try:
            version = kept["version"]
            return Answer(
                None if version is None else SchemaVersion.parse(version), datetime.fromisoformat(kept["given_at"])
            )
        except (TypeError, KeyError, ValueError):
            return None

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}


def _question(requirement: str, resolution: str) -> str:
    return f"{requirement} {resolution}"
