"""What a complete rehearsal leaves in its folder for its promotion: its records, wherever its steps were executed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nmdc_release_ops.files import write_whole
from nmdc_release_ops.records.data_release import MigratedDatabase, ReleasePlan, ValidationReport
from nmdc_release_ops.records.record import Record, RecordUnreadable

REHEARSED = "rehearsed.json"


@dataclass(frozen=True)
class RehearsalRecords:
    """The records of a complete rehearsal. That of its archive is left out: the manifest says the same."""

    plan: ReleasePlan
    migrated: MigratedDatabase
    validation: ValidationReport

    def write(self, folder: Path) -> None:
        """Write them into the rehearsal's folder, durably, in place of earlier ones.

        Raises:
            FileNotWritten.
        """
        records: dict[str, Record] = {"plan": self.plan, "migrate": self.migrated, "validate": self.validation}
        content = {step: json.loads(record.to_json()) for step, record in records.items()}
        write_whole(folder / REHEARSED, json.dumps(content, indent=2) + "\n", private=True)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The reverse of `write`.

        Raises:
            FileNotFoundError: the rehearsal was not completed.
            RecordUnreadable: another version of the project wrote them.
            RecordAltered: they were changed after they were written.
        """
        content = (folder / REHEARSED).read_bytes()
        try:
            records = {step: json.dumps(record).encode() for step, record in json.loads(content).items()}
            planned, migrated, validation = (records[step] for step in ("plan", "migrate", "validate"))
        except (ValueError, KeyError, AttributeError, RecursionError):
            raise RecordUnreadable("it does not hold the records of a rehearsal") from None
        return cls(
            ReleasePlan.from_json(planned), MigratedDatabase.from_json(migrated), ValidationReport.from_json(validation)
        )
