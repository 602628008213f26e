"""The worker keeps a file under a second name on every file system."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nmdc_release_ops.schema.worker.disk import NotWritten, link_or_copy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "of the last audit"
    made.write_bytes(b"a verdict")
    return made


def fail_with(code: int) -> Callable[..., None]:
    def fails(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    return fails


@pytest.mark.parametrize("code", [None, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK])
def test_a_file_is_linked_or_copied_where_it_cannot_be(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    target = path.with_name("of this one")
    if code is not None:
        monkeypatch.setattr(os, "link", fail_with(code))
    link_or_copy(path, target)
    assert target.read_bytes() == path.read_bytes()
    assert target.samefile(path) is (code is None)


def test_what_is_there_stays_as_it_is(path: Path) -> None:
    target = path.with_name("of this one")
    target.write_bytes(b"another one")
    link_or_copy(path, target)
    assert target.read_bytes() == b"another one"


def test_a_full_disk_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", fail_with(errno.ENOSPC))
    with pytest.raises(NotWritten) as error:
        link_or_copy(path, path.with_name("of this one"))
    assert error.value.reason == os.strerror(errno.ENOSPC)
    assert not path.with_name("of this one").exists()
