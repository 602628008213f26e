"""What runs report stays for ever, each run's own; of archives, those go that nothing needs, and never another origin's."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE, DemoOrigin
from nmdc_release_ops.mongo.archive.manifest import read_manifest, verify
from nmdc_release_ops_tests.workplace import Workplace, failure_of, make_workplace

pytestmark = pytest.mark.faults

CONFIG: dict[str, Any] = {"target_version": "11.25", "keep_archives": 1}


def data_release() -> dg.JobDefinition:
    return defs.get_job_def("data_release")


@dataclass
class History:
    """Two releases stopped in `validate`; the second was then re-executed from `dump` to its end, and after that a release
    was made of another origin, with the same home.

    Attributes:
        pages: metadata of `validate`, of the runs in order.
        archives: of the runs that dumped, in order.
        log: of the run that was re-executed.
    """

    workplace: Workplace
    pages: list[dict[str, Path]]
    archives: list[Path]
    log: str


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, warm_schema: Path) -> Iterator[History]:
    folder = tmp_path_factory.mktemp("evidence")
    for workplace in make_workplace(folder / "workplace", warm_schema, scale=500):
        with MongoClient[Any](workplace.origin.server.uri) as client:
            studies = client[DATABASE].study_set
            study = studies.find_one({})
            studies.update_one({"_id": study["_id"]}, {"$set": {"study_category": "no such category"}})
            failed = [workplace.release(**CONFIG) for _ in range(2)]
            studies.replace_one({"_id": study["_id"]}, study)
        steps = ["dump", "migrate", "validate", "restore", "unfreeze"]
        with dg.execute_job(
            dg.reconstructable(data_release),
            instance=workplace.instance,
            run_config={"ops": {"plan": {"config": CONFIG}}},
            reexecution_options=dg.ReexecutionOptions(failed[1].run_id, step_selection=steps),
        ) as again:
            assert again.success
            report = again.output_for_node("validate")
            log = "\n".join(entry.message for entry in workplace.instance.all_logs(again.run_id))
        other = DemoOrigin.create(folder / "other", scale=500, log=lambda _: None)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("NMDC_ORIGIN_URI", other.uri())
                last = workplace.release(**CONFIG)
        finally:
            other.stop()
        assert last.success
        pages = [pages_of(failure_of(result)[1]) for result in failed]
        pages.append({"page": report.page_path, "all of them": report.violations_path})
        archives = [result.output_for_node("dump").path for result in (*failed, last)]
        yield History(workplace, pages, archives, log)


def pages_of(failure: Any) -> dict[str, Path]:
    return {name: Path(failure.metadata[name].value) for name in ("page", "all of them")}


def test_what_a_run_that_failed_had_found_is_still_there_after_a_re_execution_succeeded(history: History) -> None:
    *failed, succeeded = history.pages
    for pages in failed:
        assert "no such category" in pages["page"].read_text()
        assert "no such category" in pages["all of them"].read_text()
    assert "there are no violations" in succeeded["page"].read_text()
    assert succeeded["all of them"].read_text() == ""


def test_the_newest_reports_of_a_release_are_in_the_last_folder_of_its_attempts(history: History) -> None:
    _, first, second = (pages["page"].parent for pages in history.pages)
    assert sorted(first.parent.iterdir()) == [first, second]
    names = {"difference.html", "difference.json", "validation.html", "validation.json", "violations.jsonl"}
    assert {path.name for path in second.iterdir()} == names
    assert {path.name for path in first.iterdir()} == names | {"environments.json", "schema-changes.html"}


def test_the_archive_of_an_attempt_that_was_never_swapped_in_goes_and_its_reports_and_manifest_stay(
    history: History,
) -> None:
    never, released, _ = history.archives
    assert not never.exists()
    assert read_manifest(never.parent).release_id == never.parent.name
    assert "no such category" in history.pages[0]["page"].read_text()
    assert (
        f"Removed the archive of release {never.parent.name} (it was never swapped in, or was rolled back):"
        in history.log
    )
    verify(released, read_manifest(released))


def test_a_release_of_another_origin_removes_nothing_of_this_one(history: History) -> None:
    _, of_this, of_other = history.archives
    assert of_this.parents[2] != of_other.parents[2]
    for archive in (of_this, of_other):
        verify(archive, read_manifest(archive))
