"""A file is there whole, or as it was; and a disk that is full or cannot be written has one error."""

from pathlib import Path

import dagster as dg
import pytest

from nmdc_release_ops.files import FileNotWritten, replace_folder, write_whole, writing
from nmdc_release_ops.records.data_release import FreezeWindow
from nmdc_release_ops.resources.record_store import RecordStore
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.schema.uv import python, run_uv
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops_tests.full_disk import FULL_DISKS, FullDisk, small_disk

LONG = "x" * 3_000_000


@FULL_DISKS
def test_what_does_not_fit_is_named_and_what_was_there_stays(tmp_path: Path, full_disk: FullDisk) -> None:
    file = tmp_path / "file"
    with full_disk(tmp_path) as message:
        write_whole(file, "before")
        with pytest.raises(FileNotWritten) as failure:
            write_whole(file, LONG)
        assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("file", "before")]
    assert (failure.value.path, failure.value.reason) == (file, message)
    assert f"{file} could not be written: {message}. Make room" in str(failure.value)


@FULL_DISKS
def test_a_full_disk_that_nobody_named_is_a_foreseen_failure_of_the_step(tmp_path: Path, full_disk: FullDisk) -> None:
    with (
        full_disk(tmp_path) as message,
        pytest.raises(dg.Failure) as failure,
        explain_failures(lambda: "The origin is not frozen."),
    ):
        (tmp_path / "file").write_text(LONG)
    assert message in str(failure.value.description)
    assert "docs/runbook.md, FileNotWritten" in str(failure.value.description)


def test_an_error_that_is_not_the_disks_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing():
        (tmp_path / "no such folder" / "file").write_text("")
    with pytest.raises(IsADirectoryError), writing():
        tmp_path.read_text()


def write_records(store: RecordStore, number: int) -> None:
    for one in range(number):
        context = dg.build_output_context(step_key=f"unfreeze{one}", name="result", run_id="run")
        store.handle_output(context, FreezeWindow(freezes=[]))


def test_a_record_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_RELEASE_HOME", str(tmp_path))
    home = ReleaseHomeResource()
    store = RecordStore(home=home)
    path = home.record("run", "unfreeze")
    path.parent.mkdir(parents=True)
    with small_disk(path.parent) as message:
        (path.parent / "all of it").write_bytes(bytes(1_900_000))
        with pytest.raises(FileNotWritten) as failure:
            write_records(store, 500)
        assert not list(path.parent.glob("*.partial"))
    assert str(failure.value.path).startswith(str(path.parent / "unfreeze")) and failure.value.reason == message


def test_uv_that_finds_no_room_is_told_as_a_full_disk(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "nmdc_schema").mkdir(parents=True)
    # Needs nothing from a package index.
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "nmdc-schema"\nversion = "1.0"\n'
    )
    (project / "backend.py").write_text(
        "import os, zipfile\n"
        "def build_wheel(folder, *more):\n"
        "    name = 'nmdc_schema-1.0-py3-none-any.whl'\n"
        "    with zipfile.ZipFile(os.path.join(folder, name), 'w') as wheel:\n"
        "        wheel.writestr('nmdc_schema/data', os.urandom(3_000_000))\n"
        "        info = 'nmdc_schema-1.0.dist-info/'\n"
        "        wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: nmdc-schema\\nVersion: 1.0\\n')\n"
        "        wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
        "        wheel.writestr(info + 'RECORD', '')\n"
        "    return name\n"
    )
    target = tmp_path / "target"
    target.mkdir()
    install = ["pip", "install", "--no-deps", "--link-mode", "copy", "--python", python(), "--target", str(target)]
    with small_disk(target) as message, pytest.raises(FileNotWritten, match=message):
        run_uv([*install, str(project)], what="a candidate")


def test_what_a_killed_process_left_is_removed_and_the_work_of_another_folder_is_not(tmp_path: Path) -> None:
    abandoned, another = tmp_path / ".11.25.0.4711", tmp_path / ".11.25.0.rc1.4712"
    abandoned.mkdir()
    another.mkdir()
    with replace_folder(tmp_path / "11.25.0") as aside:
        (aside / "made").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [another.name, "11.25.0"]
