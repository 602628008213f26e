"""Before a release, people read what the target's schema changes, and what of it no migrator seems to take care of."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.planning.schema_changes import Concern, find_concerns
from nmdc_release_ops.planning.schema_changes_page import write_changes_page
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.schema.outlines.changes import Effect, SchemaChange
from nmdc_release_ops.schema.outlines.outline import Class, Outline, Slot
from nmdc_release_ops.schema.packages.package import SchemaPackage
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops_tests.sent_commands import on_each_command
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

workplace = workplace_fixture(scale=100)


@pytest.fixture(scope="module")
def plan(workplace: Workplace) -> ReleasePlan:
    made: ReleasePlan = workplace.plan(target_version="11.25").output_for_node("plan")
    return made


def target_of(plan: ReleasePlan, folder: Path, code: str = "") -> SchemaPackage:
    """A target of the plan, with this as the code of each migrator."""
    migrators = folder / "nmdc_schema" / "migrators"
    migrators.mkdir(parents=True)
    for migrator in plan.migrators:
        (migrators / f"{migrator.module}.py").write_text(code)
    return SchemaPackage(SchemaVersion.parse("11.25"), folder)


@pytest.fixture
def client(workplace: Workplace) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](workplace.origin.server.uri) as found:
        yield found


def shown(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """What the run page of `plan` shows."""
    assert result.success
    (output,) = (event.step_output_data for event in result.all_node_events if event.is_successful_output)
    return dict(output.metadata)


def test_the_plan_shows_what_needs_a_look_first_with_the_documents_concerned(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    metadata = shown(workplace.plan(target_version="11.25"))
    rows = [record.data for record in metadata["schema changes"].records]
    by_element = {row["element"]: row for row in rows}
    objects = client[DATABASE].data_object_set
    checksum = by_element["md5_checksum"]
    assert checksum["look"] == "yes" and checksum["migrators"] == "" and checksum["collections"] == "data_object_set"
    assert checksum["documents"] == objects.count_documents({"md5_checksum": {"$exists": True}}) > 0
    # A migrator moves the investigators, and says so in its code.
    investigator = by_element["principal_investigator"]
    assert investigator["look"] == "" and "migrator_from_11_23_0_to_11_24_0" in investigator["migrators"]
    assert [row["look"] for row in rows] == sorted((row["look"] for row in rows), reverse=True)
    page = Path(metadata["all schema changes"].value).read_text()
    assert "md5_checksum" in page and "Stricter, and no migrator names it" in page


def test_a_longer_word_that_contains_the_name_of_a_slot_does_not_name_it(
    plan: ReleasePlan, client: MongoClient[Any], tmp_path: Path
) -> None:
    target = target_of(plan, tmp_path, "def upgrade():\n    return 'max_depth', 'depths', 'elevation'\n")
    before, after = (
        Outline(classes={"Biosample": Class(type="nmdc:Biosample", slots=slots)}, enums={}, collections={})
        for slots in (
            {name: Slot(ranges=("string",), required=False, multivalued=False) for name in ("depth", "elevation")},
            {},
        )
    )
    concerns = find_concerns(plan, before, after, target, client[DATABASE])
    assert {one.change.element: len(one.migrators) for one in concerns} == {
        "depth": 0,
        "elevation": len(plan.migrators),
    }


def test_where_parts_of_documents_are_concerned_too_no_number_of_documents_is_shown(
    plan: ReleasePlan, client: MongoClient[Any], tmp_path: Path
) -> None:
    def described(*, required: bool, colours: tuple[str, ...]) -> Outline:
        def slot(*ranges: str, **more: Any) -> Slot:
            return Slot(**{"ranges": ranges, "required": False, "multivalued": False, **more})

        both = {"type": slot("string", required=required), "colour": slot("Colours")}
        return Outline(
            classes={
                "Biosample": Class(
                    type="nmdc:Biosample",
                    slots={
                        **both,
                        "values": slot("Value", parts=("Value",)),
                        "depth": slot("string", required=required),
                    },
                ),
                "Value": Class(type="nmdc:Value", slots=both),
            },
            enums={"Colours": colours},
            collections={"biosample_set": ("Biosample",)},
        )

    before, after = described(required=False, colours=("red",)), described(required=True, colours=())
    target = target_of(plan, tmp_path)
    concerns = {one.change.element: one for one in find_concerns(plan, before, after, target, client[DATABASE])}
    # All samples have a type, and none is red; their parts may lack it, or be red.
    for element in ("type", "Colours"):
        assert concerns[element].change.classes == ("Biosample", "Value")
        assert concerns[element].documents is None and concerns[element].needs_a_look
    lack_depth = client[DATABASE].biosample_set.count_documents({"depth": {"$exists": False}})
    assert concerns["depth"].documents == lack_depth, "no part has a depth"


def test_documents_that_say_null_where_something_is_required_now_are_counted(
    plan: ReleasePlan, client: MongoClient[Any], tmp_path: Path
) -> None:
    def described(**slots: bool) -> Outline:
        made = {name: Slot(ranges=("string",), required=one, multivalued=False) for name, one in slots.items()}
        return Outline(
            classes={"Study": Class(type="nmdc:Study", slots=made)}, enums={}, collections={"study_set": ("Study",)}
        )

    studies = client[DATABASE].study_set
    one = studies.find_one({"name": {"$type": "string"}})
    assert studies.count_documents({"name": None}) == 0
    studies.update_one({"_id": one["_id"]}, {"$set": {"name": None, "invented": None}})
    try:
        before, after = described(name=False), described(name=True, invented=True)
        concerns = find_concerns(plan, before, after, target_of(plan, tmp_path), client[DATABASE])
    finally:
        studies.replace_one({"_id": one["_id"]}, one)
    assert {found.change.what: (found.documents, found.needs_a_look) for found in concerns} == {
        "became required": (1, True),
        "required slot added": (studies.count_documents({}), True),
    }


def test_the_documents_of_a_class_that_moves_to_another_collection_are_counted(
    plan: ReleasePlan, client: MongoClient[Any], tmp_path: Path
) -> None:
    def described(**collections: tuple[str, ...]) -> Outline:
        classes = {name: Class(type=f"nmdc:{name}", slots={}) for name in ("Biosample", "Study")}
        return Outline(classes=classes, enums={}, collections=collections)

    # That a migrator names the collection says nothing: it may read it for another reason.
    target = target_of(plan, tmp_path, "adapter.process_each_document('biosample_set', [])")
    before = described(biosample_set=("Biosample", "Study"), study_set=("Study",), gone_set=("Study",))
    after = described(biosample_set=(), study_set=("Study", "Biosample"))
    concerns = find_concerns(plan, before, after, target, client[DATABASE])
    samples = client[DATABASE].biosample_set.count_documents({})
    assert {(one.change.element, one.change.what): (one.documents, one.needs_a_look) for one in concerns} == {
        ("biosample_set", "no longer holds Biosample"): (samples, True),
        ("biosample_set", "no longer holds Study"): (0, False),
        ("gone_set", "collection removed"): (0, False),
        ("study_set", "now holds Biosample"): (None, False),
    }


def test_counting_documents_ends_after_a_while_whatever_the_number_of_changes(
    plan: ReleasePlan, client: MongoClient[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"slot_{number}" for number in range(200)]
    before, after = (
        Outline(
            classes={"Biosample": Class(type="nmdc:Biosample", slots=slots)},
            enums={},
            collections={"biosample_set": ("Biosample",)},
        )
        for slots in ({name: Slot(ranges=("string",), required=False, multivalued=False) for name in names}, {})
    )
    target = target_of(plan, tmp_path)

    def count() -> list[int | None]:
        return [one.documents for one in find_concerns(plan, before, after, target, client[DATABASE])]

    assert count() == [0] * len(names)
    monkeypatch.setattr("nmdc_release_ops.planning.schema_changes.COUNTING_SECONDS", 1.0)
    started = time.monotonic()
    with on_each_command(lambda command: time.sleep(0.1) if command.name == "aggregate" else None):
        counted = count()
    assert time.monotonic() - started < 3
    assert counted.count(None) > len(names) / 2, "a change that was not counted is shown all the same"


def test_a_definition_that_cannot_be_read_is_a_warning_and_stops_nothing(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmdc_release_ops.schema.outlines.outlines.PROGRAM", "nmdc_release_ops.no_such_program")
    monkeypatch.setattr("nmdc_release_ops.resources.schema.SchemaReleasesResource.outlines", property(_of_nothing))
    result = workplace.plan(target_version="11.25")
    assert "schema changes" not in shown(result)
    messages = [entry.user_message for entry in workplace.instance.all_logs(result.run_id)]
    assert any("What the schema changes could not be shown" in message for message in messages)


def _of_nothing(schema: Any) -> Any:
    from nmdc_release_ops.schema.outlines.outlines import SchemaOutlines

    return SchemaOutlines(schema.home.path / "empty")


def test_the_page_escapes_what_a_schema_says(tmp_path: Path) -> None:
    hostile = SchemaChange("<script>", "pattern changed from none to <b>", Effect.STRICTER, ("<i>",))
    write_changes_page(tmp_path / "page.html", [Concern(hostile, ["<u>"], None, [])], "<title>")
    page = (tmp_path / "page.html").read_text()
    for tag in ("<script>", "<b>", "<i>", "<u>", "<title><title>"):
        assert tag not in page
