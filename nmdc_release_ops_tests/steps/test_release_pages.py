"""Every release leaves a page that says what was done, without any secret; failed ones and rollbacks too."""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.files import lock
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.state.journal import SwapUnderWay
from nmdc_release_ops.pages.shelf import index_of, write_pages
from nmdc_release_ops.pages.summary import Outcome, ReleaseSummary, Swap
from nmdc_release_ops.resources.notices import NoticesResource
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.sensors.frozen_origin_watchdog import frozen_origin_watchdog
from nmdc_release_ops_tests.pages.seen import Seen, look_at
from nmdc_release_ops_tests.services.webhook_server import SECRET
from nmdc_release_ops_tests.steps.crashing_run import data_release
from nmdc_release_ops_tests.workplace import Workplace, failure_of, make_workplace

SERVED = "https://reports.example.org/nmdc"
CONFIG = {"target_version": "11.25"}


@dataclass(frozen=True)
class Runs:
    """A rehearsal, a release that was stopped by an invalid document, one that succeeded, and its rollback."""

    workplace: Workplace
    rehearsal: dg.ExecuteInProcessResult
    failed: dg.ExecuteInProcessResult
    released: dg.ExecuteInProcessResult
    rolled_back: dg.ExecuteInProcessResult
    password: str
    failed_at_first: ReleaseSummary
    released_at_first: str

    def folder(self, result: dg.ExecuteInProcessResult) -> Path:
        (found,) = self.workplace.home.glob(f"origins/*/releases/*-{result.run_id[:8]}")
        return found

    def summary(self, result: dg.ExecuteInProcessResult, name: str = "release") -> ReleaseSummary:
        found = ReleaseSummary.read(self.folder(result) / f"{name}.json")
        assert found is not None
        return found

    def page(self, result: dg.ExecuteInProcessResult, name: str = "release") -> Seen:
        return look_at((self.folder(result) / f"{name}.html").read_text())


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, warm_schema: Path, warm_transformer: PrivateMongod
) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("pages")
    for workplace in make_workplace(folder, warm_schema, scale=500, transformer=warm_transformer):
        with MongoClient[Any](workplace.origin.server.uri) as client, pytest.MonkeyPatch.context() as patch:
            patch.setenv("NMDC_REPORTS_URL", f"{SERVED}/")
            # Nobody listens there.
            patch.setenv("NMDC_NOTICE_WEBHOOK", f"http://127.0.0.1:9/{SECRET}")
            rehearsal = workplace.rehearse(**CONFIG)
            assert rehearsal.success
            studies = client[DATABASE].study_set
            study = studies.find_one({})
            studies.update_one({"_id": study["_id"]}, {"$set": {"study_category": "<script>alert(1)</script>"}})
            failed = workplace.release(**CONFIG)
            assert not failed.success
            (written,) = workplace.home.glob(f"origins/*/releases/*-{failed.run_id[:8]}/release.json")
            at_first = ReleaseSummary.read(written)
            assert at_first is not None
            # As a run leaves it that is cancelled or killed.
            written.write_text(at_first.model_copy(update={"outcome": Outcome.UNDER_WAY}).model_dump_json())
            studies.replace_one({"_id": study["_id"]}, study)
            released = workplace.release(**CONFIG)
            assert released.success
            (page,) = workplace.home.glob(f"origins/*/releases/*-{released.run_id[:8]}/release.html")
            first_page = page.read_text()
            rolled_back = defs.get_job_def("rollback").execute_in_process(instance=workplace.instance)
            (password,) = re.findall(r"//[^:]+:([^@]+)@", workplace.origin.uri())
            yield Runs(workplace, rehearsal, failed, released, rolled_back, password, at_first, first_page)


def markdown_of(result: dg.ExecuteInProcessResult, step: str) -> str:
    (metadata,) = (
        event.step_output_data.metadata
        for event in result.all_events
        if event.is_successful_output and event.step_key == step
    )
    return str(metadata["summary"].value)


def test_the_page_of_a_release_says_what_was_done_and_how_to_undo_it(runs: Runs) -> None:
    seen = look_at(runs.released_at_first)
    assert "Released: nmdc went from schema 11.23.0 to 11.25.0. Writes were blocked for" in seen.text
    assert "Launch the job rollback, until the next release is swapped in." in seen.text
    assert f"release_id: {runs.folder(runs.released).name}" in seen.text
    for step in ("plan", "freeze", "dump", "migrate", "validate", "restore", "unfreeze", "writes blocked"):
        assert f">{step}</text>" in runs.released_at_first
    assert "biosample_set" in seen.text and "migrator_from_11_23_0_to_11_24_0" in seen.text
    assert f"nmdc.biosample_set --drop {runs.folder(runs.released) / 'archive'}" in seen.text
    assert "nmdc-schema 11.25" in seen.text
    assert "a person, in the UI or a terminal" in seen.text and runs.released.run_id in seen.text
    changes = runs.summary(runs.released).schema_changes
    assert changes is not None and f'href="{changes}">What the schema changes</a>' in runs.released_at_first
    assert (runs.folder(runs.released) / changes).is_file()
    window = runs.released.output_for_node("unfreeze")
    assert runs.summary(runs.released).blocked_seconds == pytest.approx(window.seconds, abs=0.01)


def test_their_links_lead_to_pages_that_are_there(runs: Runs) -> None:
    for result in (runs.rehearsal, runs.failed, runs.released):
        links = [str(attributes["href"]) for tag, attributes in runs.page(result).elements if tag == "a"]
        assert any("difference.html" in link for link in links) and any("validation.html" in link for link in links)
        for link in links:
            assert (runs.folder(result) / link).resolve().is_file(), link


def test_the_page_of_a_failed_release_says_why_it_stopped_and_what_to_do(runs: Runs) -> None:
    summary, seen = runs.summary(runs.failed), runs.page(runs.failed)
    assert (summary.outcome, summary.stopped_in, summary.swap) == (Outcome.FAILED, "validate", Swap.NOT_BEGUN)
    assert "Release 11.23.0 → 11.25.0 failed in validate. The origin's data are as they were." in seen.text
    assert "There is nothing to undo." in seen.text
    assert "docs/runbook.md, DocumentsInvalid" in seen.text
    assert summary.validated is not None and summary.validated.violations == 1
    # It was thawed before the page was written.
    assert summary.blocked_seconds is not None and summary.blocked_seconds > 0


def test_the_page_of_a_run_that_was_killed_is_corrected_when_the_next_page_is_written(runs: Runs) -> None:
    corrected, first = runs.summary(runs.failed), runs.failed_at_first
    for name in ("outcome", "stopped_in", "failure", "swap", "blocked", "ended"):
        assert getattr(corrected, name) == getattr(first, name), name


def tick(runs: Runs) -> None:
    resources = {"origin": OriginResource(), "notices": NoticesResource()}
    with dg.build_sensor_context(instance=runs.workplace.instance, resources=resources) as context:
        frozen_origin_watchdog(context)


def test_the_page_of_a_run_that_was_killed_is_corrected_by_the_watchdog_also_beside_one_that_it_cannot_make(
    runs: Runs,
) -> None:
    written = runs.folder(runs.rehearsal) / "release.json"
    first = runs.summary(runs.rehearsal)
    # As a run leaves it that is cancelled or killed.
    written.write_text(first.model_copy(update={"outcome": Outcome.UNDER_WAY}).model_dump_json())
    # Dagster knows no plan of this run, so what it did cannot be gathered.
    unknown = runs.workplace.instance.add_run(dg.DagsterRun("rehearsal", status=dg.DagsterRunStatus.FAILURE))
    other = written.parent.with_name("0-cannot-be-made")
    other.mkdir()
    of_other = first.model_copy(update={"outcome": Outcome.UNDER_WAY, "run_id": unknown.run_id})
    (other / written.name).write_text(of_other.model_dump_json())
    try:
        # The watchdog does not wait for another writer of pages; the next tick does it.
        with lock(index_of(runs.workplace.home)):
            tick(runs)
        assert runs.summary(runs.rehearsal).outcome is Outcome.UNDER_WAY
        tick(runs)
    finally:
        shutil.rmtree(other)
        write_pages(runs.workplace.home, {})
    corrected = runs.summary(runs.rehearsal)
    for name in ("outcome", "stopped_in", "failure", "swap", "ended"):
        assert getattr(corrected, name) == getattr(first, name), name
    assert "Rehearsed: 11.23.0 → 11.25.0 would change" in runs.page(runs.rehearsal).text


def test_a_release_has_its_place_among_others_by_its_swap(runs: Runs) -> None:
    ended = runs.released.output_for_node("restore").swapped_at
    assert runs.summary(runs.released).swapped_at == ended.replace(tzinfo=UTC)
    assert runs.summary(runs.failed).swapped_at is None and runs.summary(runs.rehearsal).swapped_at is None


def test_the_page_of_a_rehearsal_says_that_nobody_was_kept_from_writing(runs: Runs) -> None:
    seen = runs.page(runs.rehearsal)
    assert "Rehearsed: 11.23.0 → 11.25.0 would change" in seen.text and "Nobody was kept from writing" in seen.text
    assert "writes blockednever" in seen.text.replace("\n", "")
    assert "There is nothing to undo." in seen.text


def test_a_rollback_has_its_page_and_that_of_the_release_says_so(runs: Runs) -> None:
    assert runs.rolled_back.success
    (folder,) = runs.workplace.home.glob(f"origins/*/releases/{runs.folder(runs.released).name}")
    summary = ReleaseSummary.read(folder / "rollback.json")
    assert summary is not None and summary.swap is Swap.UNDONE
    assert summary.blocked_seconds is not None and 0 < summary.blocked_seconds < 30
    assert "Rolled back: nmdc is at schema 11.23.0 again." in look_at((folder / "rollback.html").read_text()).text
    assert "It was rolled back at" in runs.page(runs.released).text


def test_the_list_has_all_of_them_newest_first(runs: Runs) -> None:
    seen = look_at(index_of(runs.workplace.home).read_text())
    places = [
        seen.text.index(word) for word in ("Rollback", "succeededrolled back since", "failed in validate", "Rehearsal")
    ]
    assert places == sorted(places)
    links = [str(attributes["href"]) for tag, attributes in seen.elements if tag == "a"]
    assert len([link for link in links if link.endswith(("release.html", "rollback.html"))]) == 4
    assert all((index_of(runs.workplace.home).parent / link).resolve().is_file() for link in links)


def test_the_last_step_shows_it_in_short_with_links_where_the_pages_are_served(runs: Runs) -> None:
    of_release = markdown_of(runs.released, "unfreeze")
    assert "**Released: nmdc went from schema 11.23.0 to 11.25.0. Writes were blocked for" in of_release
    address = f"{SERVED}/{runs.folder(runs.released).relative_to(runs.workplace.home)}"
    assert f"| page | {address}/release.html |" in of_release
    assert f"{address}/attempts/001-{runs.released.run_id[:8]}/difference.html" in of_release
    assert "Launch the job rollback" in of_release
    assert "Rehearsed: 11.23.0" in markdown_of(runs.rehearsal, "validate")
    assert "Rolled back: nmdc is at schema 11.23.0 again" in markdown_of(runs.rolled_back, "roll_back")
    step, failure = failure_of(runs.failed)
    assert step == "validate"
    assert "failed in validate" in failure.metadata["summary"].value
    assert "release.html" in failure.metadata["summary"].value
    assert isinstance(failure.metadata["page"], dg.UrlMetadataValue)


def test_no_page_holds_a_secret_or_the_address_of_the_origin(runs: Runs) -> None:
    files = [
        path
        for pattern in ("**/*.html", "release.json", "rollback.json")
        for path in runs.workplace.home.glob(f"origins/*/releases/*/{pattern}")
    ]
    assert len(files) >= 12
    address = runs.workplace.origin.uri().rpartition("@")[2].partition("/")[0]
    for path in [*files, index_of(runs.workplace.home)]:
        text = path.read_text()
        for secret in (runs.password, SECRET, address, "mongodb://nmdc"):
            assert secret not in text, path


def test_a_page_that_cannot_be_written_is_a_warning_and_no_failure(runs: Runs) -> None:
    index = index_of(runs.workplace.home)
    index.rename(index.with_name("kept"))
    index.mkdir()
    try:
        planned = runs.workplace.plan(**CONFIG)
    finally:
        index.rmdir()
        index.with_name("kept").rename(index)
    assert planned.success
    log = [str(entry.user_message) for entry in runs.workplace.instance.all_logs(planned.run_id)]
    assert any("The release's page was not written: FileNotWritten" in line for line in log)


def test_a_run_that_re_executes_a_failed_one_and_is_killed_leaves_its_own_page(runs: Runs) -> None:
    """The last test of this file: the database is at another version afterwards."""

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError

    def cancelled(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nmdc_release_ops.steps.validate.run_validation", broken)
        failed = runs.workplace.release(**CONFIG)
    assert "failed in validate. The origin's data are as they were." in runs.page(failed).text
    last = failed.run_id
    # As for a run that is killed, Dagster calls no hook: in the swap, with the first of its steps that succeeds before it; then
    # in the swap again, which is its first step; and then in the step after it.
    for patched, swap, was_under_way in (
        ("swapping.swapping.perform_swap", Swap.BEGUN, True),
        ("swapping.swapping.perform_swap", Swap.BEGUN, False),
        ("unfreeze.record_release", Swap.DONE, True),
    ):
        with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            patch.setattr(f"nmdc_release_ops.steps.{patched}", cancelled)
            dg.execute_job(
                dg.reconstructable(data_release),
                instance=runs.workplace.instance,
                reexecution_options=dg.ReexecutionOptions.from_failure(last, runs.workplace.instance),
                raise_on_error=False,
            )
        (run,) = runs.workplace.instance.get_runs(limit=1)
        assert (runs.summary(failed).outcome is Outcome.UNDER_WAY) is was_under_way
        with suppress(SwapUnderWay):
            tick(runs)
        ended = runs.summary(failed)
        assert (ended.outcome, ended.run_id, ended.swap) == (Outcome.FAILED, run.run_id, swap)
        assert "the job rollback" in runs.page(failed).text
        assert "The origin's data are as they were" not in runs.page(failed).text
        last = run.run_id
