"""Releasing the Runtime: find the next version, and publish it exactly once."""

import re
import time
from collections.abc import Iterable
from typing import Literal

import semver

from nmdc_release_ops.services.errors import (
    GitHubAnswerUnreadable,
    GitHubRejected,
    GitHubUnreachable,
    RuntimeReleaseRefused,
)
from nmdc_release_ops.services.repository import GitHubRelease, Repository

_SPELLING = re.compile(r"v?([0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?)", re.ASCII)
_LONGEST = 64
Part = Literal["patch", "minor", "major"]
_LOOKS = 3
_SECONDS_BETWEEN_LOOKS = 2.0


def last_published(releases: Iterable[GitHubRelease]) -> tuple[semver.Version, GitHubRelease] | None:
    """The release of the highest version, without drafts and pre-releases; None if there is none."""
    published = [
        (version, release)
        for release in releases
        if not release.draft
        and not release.prerelease
        and (version := _parse(release.tag_name))
        and not version.prerelease
    ]
    return max(published, key=lambda one: one[0]) if published else None


def next_version(last: semver.Version | None, part: Part, version: str | None) -> semver.Version:
    """The version to release: `version`, or the last one with `part` (patch, minor or major) incremented.

    Raises:
        RuntimeReleaseRefused: `version` is malformed or not greater than the last one, or there is no last one to increment.
    """
    if version is None:
        if last is None:
            raise RuntimeReleaseRefused(
                "The Runtime has no release yet, so there is no version to increment. Set `version`."
            )
        return last.next_version(part)
    given = _parse(version)
    if given is None:
        raise RuntimeReleaseRefused(f'{version[:_LONGEST]!r} is not a version. A version looks like "2.11.0".')
    if last is not None and given <= last:
        raise RuntimeReleaseRefused(f"{given} is not greater than {last}, the last published version.")
    return given


def publish_once(
    repository: Repository, *, tag: str, commit: str, title: str, release_id: str, prerelease: bool
) -> tuple[GitHubRelease, bool]:
    """Publish the release of `tag` unless it exists; return it, and whether it was created now.

    An earlier attempt may have created it before its answer was lost or its run was killed. Its text then contains
    `release_id` in a comment; a release without that comment is somebody else's.

    Args:
        release_id: the same for all attempts at this release, and for no other.

    Raises:
        RuntimeReleaseRefused: the tag exists, and is not ours.
        GitHubRejected and others: GitHub shows no new release.
    """
    comment = f"<!-- nmdc-release-ops {release_id} -->"
    release = repository.release_of(tag)
    if release is not None:
        return _require_ours(release, comment), False
    if repository.tag_exists(tag):
        raise RuntimeReleaseRefused(
            f"{repository.name} already has a tag {tag}, without a release. Nothing was published. Remove the tag, or release "
            "another version."
        )
    try:
        created = repository.create_release(tag=tag, commit=commit, title=title, body=comment, prerelease=prerelease)
    except (GitHubUnreachable, GitHubAnswerUnreadable):
        release = _find_again(repository, tag)
        if release is None:
            raise
        return _require_ours(release, comment), True
    except GitHubRejected as error:
        release = _find_again(repository, tag) if "already_exists" in error.codes else None
        if release is None:
            raise
        return _require_ours(release, comment), False
    return created, True


def _find_again(repository: Repository, tag: str) -> GitHubRelease | None:
    """Find a release whose creation was not answered. GitHub may take a moment to show it."""
    for look in range(_LOOKS):
        if look:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        release = repository.release_of(tag)
        if release is not None:
            return release
    return None


def _require_ours(release: GitHubRelease, comment: str) -> GitHubRelease:
    if comment not in (release.body or ""):
        raise RuntimeReleaseRefused(
            f"Somebody else has released {release.tag_name} in the meantime ({release.html_url}). Nothing was published. Launch "
            "a new run: it increments that version."
        )
    return release


def _parse(text: str) -> semver.Version | None:
    match = _SPELLING.fullmatch(text) if len(text) <= _LONGEST else None
    try:
        return semver.Version.parse(match[1]) if match else None
    except ValueError:
        return None
