"""The page that shows what changed needs nothing else, shows everything, and does nothing that the data say."""

import json
from pathlib import Path

import bson
import pytest

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.mongo.difference.difference import ChangedPath, Difference
from nmdc_release_ops.mongo.difference.page import DATA, PAGE, page, write_difference
from nmdc_release_ops.mongo.difference.paths import Kind
from nmdc_release_ops.mongo.difference.samples import LONGEST_TEXT, Sample, added_sample, removed_sample
from nmdc_release_ops_tests.full_disk import FULL_DISKS, FullDisk
from nmdc_release_ops_tests.mongo.difference.differences import collection, difference, hostile, sample
from nmdc_release_ops_tests.pages.seen import HOSTILE, Seen, assert_loads_nothing, look_at


def test_hostile_data_are_shown_and_not_obeyed() -> None:
    seen = look_at(page(hostile(), HOSTILE, HOSTILE))
    assert all(str(attributes.get("href") or "#").startswith("#") for _, attributes in seen.elements)
    assert seen.text.count(HOSTILE) >= 8


def test_the_page_loads_nothing() -> None:
    assert_loads_nothing(page(hostile(), "title"))


def test_changed_lines_are_marked_and_others_are_not() -> None:
    was = {"_id": 1, **{f"same{n}": n for n in range(40)}, "old": "x", "last": 1}
    now = {"_id": 1, **{f"same{n}": n for n in range(40)}, "last": 1, "new": "y"}
    html = page(difference(collection(changed=[sample(was, now)])), "title")
    assert '<td class="was">  &quot;old&quot;: &quot;x&quot;,</td>' in html
    assert '<td class="now">  &quot;new&quot;: &quot;y&quot;</td>' in html
    # The comma that it got, because it is no longer the last, is no change.
    assert html.count('class="was"') == html.count('class="now"') == 1
    assert "<td>  &quot;last&quot;: 1</td><td>  &quot;last&quot;: 1,</td>" in html
    assert "32 lines that are the same" in html
    assert "same10" not in html and "same39" in html and "same0" in html


def test_counts_and_paths_are_in_the_tables() -> None:
    path = ChangedPath(path="a[].b", kind=Kind.RENAMED, detail="c", documents=1_204)
    seen = Seen(page(difference(collection(paths=[path], elsewhere=17), renamed=[("x", "y")]), "title"))
    assert "a[].b → crenamed1,204" in seen.text
    assert "other paths17" in seen.text
    assert "3,000 changed, 1 added, 2 removed, 4 unchanged" in seen.text
    assert "No added document was found to show here." in seen.text
    assert "x → y" in seen.text


def test_a_sample_is_named_by_its_document() -> None:
    changed = sample({"_id": 1, "id": "nmdc:sty-11-abc", "name": "x"}, {"_id": 1, "id": "nmdc:sty-11-abc", "name": "y"})
    added = added_sample(bson.encode({"_id": "the key", "name": "z" * 10}))
    seen = Seen(page(difference(collection(changed=[changed], added=[added])), "title"))
    assert "Changed document 1 of 1 shown: nmdc:sty-11-abc" in seen.text
    assert "Added document 1 of 1 shown: the key" in seen.text
    assert len(removed_sample(bson.encode({"_id": "x" * 5_000})).document) < 300


def test_a_migration_that_changed_no_document_says_so() -> None:
    assert "No document changed." in page(difference(untouched=["a_set"]), "title")


def test_a_page_of_the_longest_samples_is_bounded_and_made_in_little_time() -> None:
    was = {"_id": 1, "a": list(range(100_000))}
    now = {"_id": 1, "a": [n * 2 for n in range(100_000)]}
    samples = [sample(was, now)] * 5
    html = page(difference(collection(changed=samples)), "title")
    assert "cut after 20,000 characters" in html
    assert len(html) < 10 * LONGEST_TEXT * 5


def test_both_files_are_written_and_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        assert write_difference(tmp_path, hostile(), "title") == tmp_path / PAGE
    assert sorted(path.name for path in tmp_path.iterdir()) == [PAGE, DATA]
    assert Difference.model_validate_json((tmp_path / DATA).read_bytes()) == hostile()
    assert json.loads((tmp_path / DATA).read_text())["collections"][0]["counts"]["changed"] == 3_000


@FULL_DISKS
def test_where_there_is_no_room_it_is_said_and_nothing_half_written_stays(tmp_path: Path, full_disk: FullDisk) -> None:
    text = "x" * 3_000_000
    with full_disk(tmp_path) as message:
        with pytest.raises(FileNotWritten) as failure:
            write_difference(tmp_path, difference(collection(added=[Sample(after=text)])), "title")
        assert list(tmp_path.iterdir()) == []
    assert f"{tmp_path / DATA} could not be written: {message}" in str(failure.value)
    assert "Make room" in str(failure.value)
