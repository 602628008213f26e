"""A record: what a step hands to the next, kept as JSON."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError


class RecordUnreadable(ValueError):
    """A file is not a record that this version of the project can read."""


class RecordAltered(ValueError):
    """A record's content does not match the digest that was written with it."""


class Part(BaseModel):
    """A part of a record: immutable, refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Record(Part):
    """What one step hands to others.

    Attributes:
        made_from: digest of each record that it was made from, by the step that made that one.
    """

    made_from: Mapping[str, str] = {}
    _read_digest: str | None = PrivateAttr(None)

    @property
    def digest(self) -> str:
        """sha256 of the content, in hexadecimal, as it was written, also where a later version of the project reads it."""
        return self._read_digest or _digest(self.model_dump(mode="json"))

    def to_json(self) -> str:
        """The record and its digest, as a file holds them."""
        content = self.model_dump(mode="json")
        return json.dumps({"sha256": _digest(content), "record": content}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """The reverse of `to_json`.

        Raises:
            RecordUnreadable: it is not a record of this kind.
            RecordAltered: it was changed after it was written.
        """
        try:
            parsed = json.loads(text)
            content, digest = parsed["record"], parsed["sha256"]
            found = _digest(content)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RecordUnreadable("it is not a record with a digest") from None
        if found != digest:
            raise RecordAltered(f"its content has the sha256 {found}, and was written with {digest}")
        try:
            record = cls.model_validate_json(json.dumps(content))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise RecordUnreadable(f"this version of the project cannot read it ({place}: {first['msg']})") from None
        record._read_digest = digest
        return record


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
