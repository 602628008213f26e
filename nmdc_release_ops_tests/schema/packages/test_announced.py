"""Of what GitHub lists, the newest release that counts is found, whatever else is there."""

import pytest

from nmdc_release_ops.schema.packages.announced import read_announcements, version_of_tag
from nmdc_release_ops.schema.version import InvalidSchemaVersion
from nmdc_release_ops.services.repository import GitHubRelease


def release(tag: str, *, draft: bool = False, prerelease: bool = False) -> GitHubRelease:
    return GitHubRelease.model_validate(
        {
            "id": 1,
            "tag_name": tag,
            "draft": draft,
            "prerelease": prerelease,
            "html_url": "https://github.example.org/release",
            "target_commitish": "main",
            "created_at": "2026-01-01T00:00:00Z",
            "published_at": "2026-01-01T00:00:00Z",
            "a field that is new": 1,
        }
    )


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("v11.25", "11.25.0"),
        ("11.25.0", "11.25.0"),
        ("v11.25.0-rc.1", "11.25.0-rc.1"),
        ("v.7.4.11", "7.4.11"),
        ("v8", "8.0.0"),
    ],
)
def test_tags_are_understood_as_they_were_ever_spelled(tag: str, version: str) -> None:
    assert str(version_of_tag(tag)) == version


@pytest.mark.parametrize(
    "tag", ["", "latest", "v11.25.0rc1", "v11.25/../..", "v" + "1" * 100, "v1.2.3.4", "v11.25\n", "v\uff11\uff11.25"]
)
def test_a_tag_that_is_no_version_is_refused(tag: str) -> None:
    with pytest.raises(InvalidSchemaVersion):
        version_of_tag(tag)


def test_the_newest_is_the_highest_version_and_not_the_latest_date() -> None:
    listed = [release("v11.9.1"), release("v11.10.0"), release("v11.9.0")]
    newest = read_announcements(listed, include_prereleases=False).newest
    assert newest is not None and (newest.tag, newest.version) == ("v11.10.0", "11.10.0")


def test_drafts_never_count_and_pre_releases_only_where_wanted() -> None:
    listed = [
        release("v14.0.0", draft=True),
        release("v13.0.0", prerelease=True),
        release("v12.0.0-rc.1"),
        release("v11.25"),
    ]
    without, included = (read_announcements(listed, include_prereleases=wanted).newest for wanted in (False, True))
    assert without is not None and without.tag == "v11.25"
    assert included is not None and included.tag == "v13.0.0"


def test_odd_tags_are_passed_over_and_named() -> None:
    found = read_announcements([release("nightly"), release("v11.25"), release("x" * 300)], include_prereleases=False)
    assert found.newest is not None and found.newest.tag == "v11.25"
    assert found.odd[0] == "'nightly' is not a version"
    assert len(found.odd[1]) < 80


def test_where_nothing_was_published_there_is_no_newest() -> None:
    assert read_announcements([], include_prereleases=True).newest is None
