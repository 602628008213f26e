"""What the benchmark says about its measurements: tables, growth, the plot, and the pages that it writes."""

import itertools
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from bench.processes import ProgramFailed, run
from bench.report.growth import NMDC_AGGREGATES, NMDC_OTHERS, fit, predict, tabulate_growth
from bench.report.pages import MarkerMissing, fill_in, publish
from bench.report.plot import plot
from bench.report.results import Measured, merge, read_results, write_results
from bench.report.summary import (
    summarize,
    tabulate_floors,
    tabulate_promotions,
    tabulate_room,
    tabulate_steps,
    tabulate_unchanged,
)
from bench.report.table import Row, times_as_fast

DOCS = Path(__file__).parent.parent / "docs"
STAMPED = DOCS.parent / "bench" / "scripts" / "stamped.py"
# Aggregates and other documents of the demo at each size.
SIZES = {20_000: (10_000, 10_000), 200_000: (156_000, 44_000), 1_000_000: (877_000, 123_000)}


def _measured(scale: int, seconds: dict[str, float], machine: str = "2 cores") -> Measured:
    aggregates, others = SIZES[scale]
    rows = [Row(aggregates + others, key, key, took) for key, took in seconds.items()]
    return Measured(
        scale, aggregates + others, aggregates, machine, "mongod 6.0.5", "2026-01-01", 1.0, 0.0, 1_000_000, rows
    )


def _whole(scale: int) -> Measured:
    cost = scale / 20_000
    keys = {
        "validate.theirs": 7 * cost,
        "refscan.theirs": 8 * cost,
        "migrate.theirs": cost,
        "validate.ours": 2 + cost / 10,
        "release.changing": 5 + cost,
        "release.changing.blocked": 3 + cost,
        "release.changing.dump": cost,
        "release.changing.migrate": cost / 2,
        "release.unchanged": 4 + cost / 2,
        "release.unchanged.blocked": 3 + cost / 2,
        "release.unchanged.alone": 2 + cost / 2,
        "release.unchanged.alone.dump": 1.0,
        "release.unchanged.alone.validate": 1.0,
        "floors.read": cost / 10,
        "promotion.nothing": 10.0,
        "promotion.nothing.blocked": 0.5,
        "promotion.untouched.blocked": 0.8,
        "promotion.touched.blocked": 1.5,
        "promotion.untouched.latency": 0.002,
    }
    return _measured(scale, keys)


WHOLE = [_whole(scale) for scale in SIZES]


def _cells(lines: list[str], what: str) -> list[str]:
    (found,) = (line for line in lines if line.startswith(f"| {what} |"))
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def test_growth_finds_what_is_fixed_and_what_grows_with_each_kind_of_document() -> None:
    points = [(a, o, 2 + 30 * a / 1e6 + 4 * o / 1e5) for a, o in SIZES.values()]
    terms = fit(points)
    assert terms == pytest.approx((2, 30, 4))
    assert terms is not None
    assert predict(terms, NMDC_AGGREGATES, NMDC_OTHERS) == pytest.approx(2 + 30 * 54.8 + 4 * 3.65)


def test_growth_is_never_negative_where_measurements_waver() -> None:
    points = [(a, o, seconds) for (a, o), seconds in zip(SIZES.values(), (9.0, 8.0, 11.0), strict=True)]
    terms = fit(points)
    assert terms is not None
    assert min(terms) >= 0


def test_growth_is_not_computed_from_two_sizes_or_from_small_ones() -> None:
    small = [Measured(**{**vars(one), "documents": 20_000 + number}) for number, one in enumerate(WHOLE)]
    for few in (WHOLE[:2], small):
        assert [line.partition(":")[0] for line in tabulate_growth(few)] == ["Not computed"]
    assert _cells(tabulate_growth(WHOLE), "**our release**: dump")


def test_a_sum_without_todays_missing_steps_is_marked_as_a_lower_bound() -> None:
    today, ours, ratio, *_ = _cells(summarize(WHOLE), "a release that changes three collections")
    assert (today, ours, ratio) == ("≥ 8.0 s", "6.0 s", "**≥ 1.3**")


def test_todays_whole_release_is_used_where_it_was_measured() -> None:
    today, _, ratio = _cells(
        summarize([_measured(20_000, {"today": 30.0, "validate.theirs": 7.0, "release.changing": 6.0})]),
        "a release that changes three collections",
    )
    assert (today, ratio) == ("30 s", "**5.0**")


def test_a_release_that_changes_nothing_is_compared_with_dumping_and_validating_alone() -> None:
    assert "| **1.40** |" in tabulate_unchanged(WHOLE)[2]


def test_what_was_not_measured_is_left_out() -> None:
    few = [_measured(20_000, {"migrate.theirs": 4.0, "migrate.ours": 1.0})]
    assert len(summarize(few)) == 3
    for tabulate in (tabulate_steps, tabulate_unchanged, tabulate_floors, tabulate_room, tabulate_promotions):
        assert tabulate(few) == []
    assert plot(few) is None


def test_a_goal_is_shown_from_its_size_on() -> None:
    goals = {1_000_000: 20.0, 5_000_000: 50.0}
    assert times_as_fast(90, 3, 20_000, goals) == "30.0"
    assert times_as_fast(90, 3, 999_000, goals) == "**30.0** (goal 20)"
    assert times_as_fast(90, 3, 5_000_100, goals) == "**30.0** (goal 50, **not reached**)"


def test_a_run_replaces_its_sizes_and_keeps_the_others() -> None:
    new = _measured(200_000, {"migrate.ours": 1.0}, machine="96 cores")
    merged = merge(WHOLE, [new])
    assert [one.scale for one in merged] == list(SIZES)
    assert merged[1] is new


def test_a_run_of_a_part_keeps_the_other_parts_if_it_was_made_on_the_same_machine() -> None:
    (merged,) = merge(WHOLE[:1], [_measured(20_000, {"promotion.nothing": 9.0})])
    assert merged.seconds("promotion.nothing") == 9.0
    assert merged.find("promotion.nothing.blocked") is None
    assert merged.seconds("floors.read") == WHOLE[0].seconds("floors.read")


def test_a_promotion_is_shown_as_its_writer_saw_it_beside_a_release() -> None:
    lines = tabulate_promotions(WHOLE)
    assert _cells(lines, "`promote`, nothing written since the last round") == ["0.50 s"] * len(SIZES)
    assert _cells(lines, "`data_release`")[0] == "4.00 s"
    assert _cells(lines, "99 of 100 writes during the rehearsal took at most")[0] == "2.0 ms"


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    ran = run([sys.executable, "-c", "pass"], folder=tmp_path)
    measured = [Measured(**{**asdict(WHOLE[0]), "rows": [Row(1, "a.b", "what", 1.5, memory=ran.memory)]})]
    write_results(tmp_path / "results.json", measured)
    assert read_results(tmp_path / "results.json") == measured
    assert read_results(tmp_path / "none.json") == []


def test_the_page_has_a_place_for_every_table_and_the_rest_of_it_stays(tmp_path: Path) -> None:
    before = (DOCS / "performance.md").read_text()
    shutil.copy(DOCS / "performance.md", tmp_path)
    files = publish(tmp_path, WHOLE)
    assert {file.name for file in files} == {"performance.md", "benchmarks.md", "performance.svg"}
    after = (tmp_path / "performance.md").read_text()
    generated = re.compile(r"(<!-- bench: (\w+) -->).*?(<!-- end of bench: \2 -->)", re.DOTALL)
    assert generated.sub(r"\1\3", after) == generated.sub(r"\1\3", before)
    assert "| run the migrators of 11.24.0 |" not in after  # ours was not measured
    assert "| a release that changes nothing |" in after
    assert fill_in(after, WHOLE) == after


def test_a_table_that_cannot_be_made_leaves_the_last_one() -> None:
    page = fill_in((DOCS / "performance.md").read_text(), WHOLE)
    without_floors = [_measured(20_000, {"migrate.theirs": 4.0, "migrate.ours": 1.0})]
    assert "| floors.read |" in page
    assert "| floors.read |" in fill_in(page, without_floors)


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(MarkerMissing, match="bench: summary"):
        fill_in("# Performance\n", WHOLE)


def test_every_table_names_machine_date_versions_and_what_ran_beside() -> None:
    page = fill_in((DOCS / "performance.md").read_text(), WHOLE)
    for part in re.findall(r"<!-- bench: \w+ -->(.*?)<!-- end", page, re.DOTALL):
        assert "2026-01-01, 2 cores, mongod 6.0.5; nothing else ran" in part


def test_the_plot_is_drawn_for_light_and_dark_pages() -> None:
    drawn = plot(WHOLE)
    assert drawn is not None
    assert "prefers-color-scheme: dark" in drawn
    root = ElementTree.fromstring(drawn)  # noqa: S314
    lines = root.findall("{*}polyline")
    assert len(lines) == 5
    height = float((root.get("viewBox") or "").split()[3])
    labels = sorted(
        float(text.get("y") or 0) for text in root.findall("{*}text") if text.get("class", "").startswith("s")
    )
    assert labels[0] > 0 and labels[-1] < height
    assert min(b - a for a, b in itertools.pairwise(labels)) >= 16


def test_steps_stand_beside_what_does_the_same_today() -> None:
    today, _, _, *_ = _cells(tabulate_steps(WHOLE), "load what is touched, and migrate")
    assert today == "≥ 1.0 s"


def test_memory_is_told_apart_by_kind_of_process_and_files_are_watched(tmp_path: Path) -> None:
    file = tmp_path / "collection-1.wt"
    code = (
        "import pathlib, subprocess, sys, time; held = bytearray(60_000_000); "
        f"pathlib.Path({str(file)!r}).write_bytes(bytes(5000)); time.sleep(0.4); "
        f"pathlib.Path({str(file)!r}).unlink(); subprocess.run(['sleep', '0.3'])"
    )
    ran = run([sys.executable, "-c", code], folder=tmp_path, files=lambda: tmp_path.glob("*.wt"))
    assert ran.memory.by_kind["python"] > 60_000_000
    assert 0 < ran.memory.by_kind["sleep"] < 60_000_000
    assert ran.disk == 5000


def test_a_program_that_fails_is_reported_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match="exit code 3: no such collection"):
        run([sys.executable, "-c", "import sys; sys.stderr.write('no such collection'); sys.exit(3)"], folder=tmp_path)


def test_lines_of_a_program_are_stamped_and_its_failure_is_passed_on(tmp_path: Path) -> None:
    stamped = [sys.executable, str(STAMPED), sys.executable, "-u", "-c"]
    ran = run([*stamped, "import time; print('a'); time.sleep(0.3); print('b')"], folder=tmp_path)
    (first, a), (second, b) = (line.split(" ") for line in ran.output.splitlines())
    assert (a, b) == ("a", "b")
    assert float(second) - float(first) > 0.25
    with pytest.raises(ProgramFailed, match="the last words"):
        run([*stamped, "import sys; sys.exit('the last words')"], folder=tmp_path)


def test_an_interrupted_run_leaves_nothing_running(tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(1)); "
        "from bench.processes import run; "
        f"run([sys.executable, {str(STAMPED)!r}, 'sleep', '300'], folder=pathlib.Path({str(tmp_path)!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=DOCS.parent) as process:
        started: list[psutil.Process] = []
        deadline = time.monotonic() + 60
        while not any(one.name() == "sleep" for one in started) and time.monotonic() < deadline:
            time.sleep(0.1)
            started = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
    assert len(started) == 2
    _, running = psutil.wait_procs(started, timeout=10)
    assert [one for one in running if one.status() != psutil.STATUS_ZOMBIE] == []


def test_kept_results_are_those_of_the_page() -> None:
    """The pages can be written again without measuring: what they show is in bench/results.json."""
    kept = read_results(DOCS.parent / "bench" / "results.json")
    assert kept
    page = (DOCS / "performance.md").read_text()
    assert fill_in(page, kept) == page, "run .venv/bin/python -m bench --pages"
