"""Versions: every spelling that NMDC uses, and nothing else."""

import pytest

from nmdc_release_ops.schema.version import InvalidSchemaVersion, SchemaVersion


@pytest.mark.parametrize("text", ["11.25", "v11.25", "11.25.0", " 11.25 "])
def test_every_spelling_of_a_version_is_the_same_version(text: str) -> None:
    assert SchemaVersion.parse(text) == SchemaVersion.parse("11.25.0")
    assert str(SchemaVersion.parse(text)) == "11.25.0"
    assert len({SchemaVersion.parse(text), SchemaVersion.parse("11.25.0")}) == 1


def test_versions_are_ordered_by_their_numbers() -> None:
    texts = ["8.0", "9.2", "10.0.0", "11.9.1", "11.25.0-rc.1", "11.25", "11.25.1"]
    assert sorted(map(SchemaVersion.parse, reversed(texts))) == [SchemaVersion.parse(text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "latest", "11.x", "11.", ".11", "11.25.0.0", "-1.0", "1e3", "011.2.3", "11.25,<12", "vv1"),
        *('"; rm -rf"', "../x", "11.25/../..", "11.25; rm", "11.25 --index-url x", "$(id)", "11.25.0-"),
        *(
            "11.25\n",
            "\n11.25",
            "11.25\x00",
            "\x1b[31m11",
            "11.25\r",
            "\u0661\u0661.25",
            "\uff11\uff11.25",
            "9" * 65,
            "1" * 10_000,
        ),
    ],
)
def test_a_text_that_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidSchemaVersion) as refused:
        SchemaVersion.parse(text)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()
