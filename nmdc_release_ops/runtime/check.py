"""The outcome of a check of the Runtime, as plans record it."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Outcome(StrEnum):
    """The outcome of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


class Check(BaseModel):
    """A line of the plan about the Runtime.

    Attributes:
        what: is checked, "pins the schema version".
        says: the reason for the outcome.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    outcome: Outcome
    says: str

    def describe(self) -> str:
        return f"{self.what}: {self.outcome} ({self.says})"
