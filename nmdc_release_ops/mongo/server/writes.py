"""How much was written to a collection."""

from pydantic import BaseModel, ConfigDict


class Writes(BaseModel):
    """How many documents were written in a collection; a document that was written twice counts twice.

    Attributes:
        other: how often the collection itself was dropped or renamed, or another one was renamed to its name.
    """

    model_config = ConfigDict(frozen=True)

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    other: int = 0

    @property
    def documents(self) -> int:
        return self.inserted + self.updated + self.deleted

    def with_one(self, operation: str) -> "Writes":
        """A copy with one more.

        Args:
            operation: an `operationType` of change streams.
        """
        field = _FIELDS.get(operation, "other")
        return self.model_copy(update={field: getattr(self, field) + 1})

    def __str__(self) -> str:
        parts = [f"{number:,} {word}" for word, number in self.model_dump().items() if number and word != "other"]
        if self.other:
            parts.append("dropped, renamed or created again")
        return ", ".join(parts) or "nothing"


_FIELDS = {"insert": "inserted", "update": "updated", "replace": "updated", "delete": "deleted"}
