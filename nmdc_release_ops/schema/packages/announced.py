"""Which schema release is the newest of those that are published."""

import re
from collections.abc import Iterable
from typing import Annotated, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict

from nmdc_release_ops.schema.version import InvalidSchemaVersion, SchemaVersion

_MOST_ODD = 5
_LONGEST_SHOWN = 40


def _version(text: str) -> str:
    return str(SchemaVersion.parse(text))


VersionText = Annotated[str, AfterValidator(_version)]
"""A version of the schema, in three numbers."""


class ListedRelease(Protocol):
    """What is read of an entry in GitHub's list of releases."""

    @property
    def tag_name(self) -> str: ...
    @property
    def draft(self) -> bool: ...
    @property
    def prerelease(self) -> bool: ...
    @property
    def html_url(self) -> str: ...


class Announced(BaseModel):
    """A schema release that was published.

    Attributes:
        tag: as GitHub spells it, "v11.25".
        version: three numbers, "11.25.0".
    """

    model_config = ConfigDict(frozen=True)

    tag: str
    version: VersionText
    url: str

    @property
    def schema_version(self) -> SchemaVersion:
        return SchemaVersion.parse(self.version)


class Announcements(BaseModel):
    """The outcome of reading a list of releases.

    Attributes:
        newest: the highest version; None if there is none.
        odd: the first few tags that are not versions, each with the reason.
    """

    model_config = ConfigDict(frozen=True)

    newest: Announced | None = None
    odd: tuple[str, ...] = ()


def read_announcements(releases: Iterable[ListedRelease], *, include_prereleases: bool) -> Announcements:
    """Find the newest by version, not by date: a fix of an older version may be published later.

    Drafts never count. A pre-release is marked as one, or has the version of one ("v11.25.0-rc.1").
    """
    newest: tuple[SchemaVersion, Announced] | None = None
    odd: list[str] = []
    for release in releases:
        if release.draft:
            continue
        try:
            version = version_of_tag(release.tag_name)
        except InvalidSchemaVersion:
            odd.append(f"{_shorten(release.tag_name)} is not a version")
            continue
        if (release.prerelease or version.is_prerelease) and not include_prereleases:
            continue
        if newest is None or version > newest[0]:
            newest = version, Announced(tag=release.tag_name, version=str(version), url=release.html_url)
    return Announcements(newest=newest[1] if newest else None, odd=tuple(odd[:_MOST_ODD]))


def version_of_tag(tag: str) -> SchemaVersion:
    """The version in a tag: "v11.25", "11.25.0", "v11.25.0-rc.1", or "v.7.4.11" as early tags were spelled.

    Raises:
        InvalidSchemaVersion: the tag is not a version.
    """
    return SchemaVersion.parse(re.sub(r"^v\.(?=[0-9])", "v", tag))


def _shorten(tag: str) -> str:
    return repr(tag if len(tag) <= _LONGEST_SHOWN else tag[:_LONGEST_SHOWN] + "...")
