"""Versions of the NMDC Schema, however they are spelled: "11.25.0", "v11.25", "8.0"."""

import re
from functools import total_ordering
from typing import Self

import semver

from nmdc_release_ops.schema.errors import SchemaError

LONGEST = 64
"""Characters; longer input is rejected without parsing it."""
_SPELLING = re.compile(r"v?(?P<version>[0-9]+(?:\.[0-9]+){0,2}(?:-[0-9A-Za-z.-]+)?)", re.ASCII)


class InvalidSchemaVersion(SchemaError, ValueError):
    """A text that is not a version of the schema."""


@total_ordering
class SchemaVersion:
    """A version that has been parsed, so that it may become part of a path, a package name or a command line.

    Its text is always three numbers, followed by a hyphen and the pre-release if there is one.
    """

    __slots__ = ("_version",)

    def __init__(self, version: semver.Version) -> None:
        self._version = version

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a version.

        Raises:
            InvalidSchemaVersion
        """
        match = _SPELLING.fullmatch(text.strip(" ")) if len(text) <= LONGEST else None
        if match is None:
            raise InvalidSchemaVersion(_explain(text))
        try:
            return cls(semver.Version.parse(match["version"], optional_minor_and_patch=True))
        except ValueError:
            raise InvalidSchemaVersion(_explain(text)) from None

    @property
    def is_prerelease(self) -> bool:
        return self._version.prerelease is not None

    def __str__(self) -> str:
        return str(self._version)

    def __repr__(self) -> str:
        return f"SchemaVersion({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SchemaVersion) and self._version == other._version

    def __lt__(self, other: "SchemaVersion") -> bool:
        return bool(self._version < other._version)

    def __hash__(self) -> int:
        return hash(self._version)


def _explain(text: str) -> str:
    shown = text if len(text) <= LONGEST else text[:LONGEST] + "..."
    return f'{shown!r} is not a version of the NMDC Schema. Versions look like "11.25.0", "11.25" or "v11.25".'
