"""A release counts as absent only if the index certainly does not have it; every other failure is reported as what it is."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.packages.package import SchemaPackages
from nmdc_release_ops.schema.path import different_migrators, migration_path
from nmdc_release_ops.schema.shipping import Target, place_hops
from nmdc_release_ops.schema.uv import (
    InstallationFailed,
    PackageIndexUnreachable,
    PackageIndexUnusable,
    SchemaReleaseNotFound,
    run_uv,
    scrub,
)
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops_tests.schema.packages.index_server import LoopbackIndex, loopback_index
from nmdc_release_ops_tests.services.loopback import Misbehaviour, Response, breaks_off, says_nothing, truncates

V = SchemaVersion.parse
HTML = {"Content-Type": "text/html"}
PORTAL = Response(200, b"<html><body>Please <a href='/login'>log in</a></body></html>", HTML)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackIndex]:
    for name in list(os.environ):
        if name.startswith("UV_"):
            monkeypatch.delenv(name)
    with loopback_index("11.24.0", "11.25.0") as found:
        monkeypatch.setenv("UV_DEFAULT_INDEX", found.simple)
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setenv("UV_HTTP_TIMEOUT", "1")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        yield found


@pytest.fixture
def packages(index: LoopbackIndex, tmp_path: Path) -> SchemaPackages:
    return SchemaPackages(tmp_path / "home")


def test_a_release_is_found_and_one_that_is_not_listed_is_absent(packages: SchemaPackages) -> None:
    assert packages.newest() == V("11.25")
    packages.require_published(V("11.24"))
    assert packages.latest_before(V("11.25"), V("11.20")) == V("11.24")
    for ask in (
        lambda: packages.require_published(V("11.24.5")),
        lambda: packages.earliest_at_or_after(V("11.24.3"), V("11.24.6")),
        lambda: packages.earliest_after(V("11.25"), V("11.99")),
        lambda: packages.latest_before(V("11.24"), V("11.20")),
        lambda: packages.fetch(V("11.99")),
    ):
        with pytest.raises(SchemaReleaseNotFound):
            ask()


@pytest.mark.parametrize(
    ("mood", "kind", "says"),
    [
        (Response(401, None, {"WWW-Authenticate": 'Basic realm="x"'}), PackageIndexUnusable, "401"),
        (Response(403), PackageIndexUnusable, "403"),
        (Response(407), PackageIndexUnusable, "407"),
        (Response(404), PackageIndexUnusable, "lists no release of nmdc-schema"),
        (PORTAL, PackageIndexUnusable, "lists no release of nmdc-schema"),
        (Response(200, b"[]", {"Content-Type": "application/vnd.pypi.simple.v1+json"}), PackageIndexUnusable, "JSON"),
        (Response(200, b"\xff\xfe", {"Content-Type": "image/png"}), PackageIndexUnusable, "Content-Type"),
        (Response(500), PackageIndexUnreachable, "500"),
        (Response(503), PackageIndexUnreachable, "503"),
        (Response(429), PackageIndexUnreachable, "429"),
        (Response(302, None, {"Location": "http://127.0.0.1:9/simple/"}), PackageIndexUnreachable, "try again"),
        (breaks_off, PackageIndexUnreachable, "try again"),
        (truncates, PackageIndexUnreachable, "try again"),
        (says_nothing, PackageIndexUnreachable, "timed out"),
    ],
)
def test_an_index_that_could_not_be_asked_is_never_told_as_no_such_release(
    index: LoopbackIndex,
    packages: SchemaPackages,
    mood: Misbehaviour | Response,
    kind: type[SchemaError],
    says: str,
) -> None:
    index.fail("GET", "/simple/", mood, times=99)
    for ask in (
        lambda: packages.require_published(V("11.99")),
        lambda: packages.earliest_after(V("11.24"), V("11.24.6")),
        lambda: packages.fetch(V("11.25")),
        packages.newest,
    ):
        with pytest.raises(kind, match=says) as raised:
            ask()
        assert type(raised.value) is kind


def test_an_index_out_of_reach_is_stood_in_for_by_what_it_answered_before_and_one_that_refuses_is_not(
    index: LoopbackIndex, packages: SchemaPackages, tmp_path: Path
) -> None:
    def found(packages: SchemaPackages) -> list[SchemaVersion]:
        packages.require_published(V("11.24"))
        for ask in (
            lambda: packages.require_published(V("11.24.5")),
            lambda: packages.earliest_after(V("11.25"), V("11.99")),
            lambda: packages.fetch(V("11.24.5")),
        ):
            with pytest.raises(SchemaReleaseNotFound):
                ask()
        return [
            packages.newest(),
            packages.latest_before(V("11.25"), V("11.20")),
            packages.earliest_after(V("11.24"), V("11.25")),
            packages.fetch(V("11.25")).version,
        ]

    answered = found(SchemaPackages(tmp_path / "home", also_kept=True))
    index.publish("11.26.0")
    index.fail("GET", "/simple/", Response(503), times=99)
    planning = SchemaPackages(tmp_path / "home", also_kept=True)
    assert planning.describe_stand_ins() == []
    assert found(planning) == answered
    (says,) = planning.describe_stand_ins()
    assert f"{datetime.now(UTC):%Y-%m-%d}" in says and "releases that were published since are not known" in says
    # What was never asked, and whoever has to know what there is now.
    with pytest.raises(PackageIndexUnreachable):
        planning.require_published(V("11.26"))
    with pytest.raises(PackageIndexUnreachable):
        packages.newest()
    index.faults.clear()
    index.fail("GET", "/simple/", Response(403), times=99)
    with pytest.raises(PackageIndexUnusable):
        planning.newest()
    index.faults.clear()
    assert planning.newest() == V("11.26")


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"nmdc-schema highest": {"version": 1}}', b"\xff"])
def test_kept_answers_that_cannot_be_read_are_none(index: LoopbackIndex, tmp_path: Path, damage: bytes) -> None:
    packages = SchemaPackages(tmp_path / "home", also_kept=True)
    assert packages.newest() == V("11.25")
    (tmp_path / "home" / "packages" / "answers.json").write_bytes(damage)
    index.fail("GET", "/simple/", Response(503), times=99)
    with pytest.raises(PackageIndexUnreachable):
        packages.newest()
    index.faults.clear()
    assert packages.newest() == V("11.25")


def test_asking_leaves_nothing_behind_where_answers_are_not_kept(packages: SchemaPackages, tmp_path: Path) -> None:
    assert packages.newest() == V("11.25")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("mood", "kind"), [(Response(403), PackageIndexUnusable), (Response(500), PackageIndexUnreachable)]
)
def test_a_file_that_is_refused_is_not_an_absent_release(
    index: LoopbackIndex, packages: SchemaPackages, mood: Response, kind: type[SchemaError]
) -> None:
    index.fail("GET", "/files/", mood, times=99)
    with pytest.raises(kind):
        packages.fetch(V("11.25"))
    index.faults.clear()
    assert packages.fetch(V("11.25")).path.is_dir()


@pytest.mark.parametrize("fields", [{"attributes": 'data-requires-python="&gt;=3.99"'}, {"tag": "cp38-cp38-win_amd64"}])
def test_a_release_that_this_python_cannot_use_is_not_absent(
    index: LoopbackIndex, packages: SchemaPackages, fields: dict[str, str]
) -> None:
    index.publish("11.26.0", **fields)
    for ask in (lambda: packages.require_published(V("11.26")), lambda: packages.fetch(V("11.26"))):
        with pytest.raises(InstallationFailed, match="Python"):
            ask()


@pytest.mark.parametrize("variable", ["UV_CONSTRAINT", "UV_OVERRIDE"])
def test_constraints_for_installations_hide_no_release(
    packages: SchemaPackages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    (tmp_path / "constraints").write_text("nmdc-schema<11\n")
    monkeypatch.setenv(variable, str(tmp_path / "constraints"))
    packages.require_published(V("11.25"))


def test_a_release_that_is_too_new_for_the_operators_settings_is_not_absent(
    packages: SchemaPackages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_EXCLUDE_NEWER", "2020-01-01")
    with pytest.raises(InstallationFailed, match="exclude-newer"):
        packages.require_published(V("11.25"))


@pytest.mark.parametrize("strategy", ["first-index", "unsafe-best-match"])
def test_one_of_several_indexes_that_refuses_makes_the_whole_answer_unusable(
    index: LoopbackIndex, packages: SchemaPackages, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    monkeypatch.setenv("UV_INDEX_STRATEGY", strategy)
    with loopback_index() as refusing:
        refusing.fail("GET", "/simple/", Response(403), times=99)
        monkeypatch.setenv("UV_INDEX", refusing.simple)
        # Also where there is an answer: the index that refuses may have a better one.
        for ask in (lambda: packages.require_published(V("11.99")), packages.newest):
            with pytest.raises(PackageIndexUnusable, match="403"):
                ask()
    with loopback_index() as empty:
        monkeypatch.setenv("UV_INDEX", empty.simple)
        empty.fail("GET", "/simple/", Response(404), times=99)
        assert packages.newest() == V("11.25")
        with pytest.raises(SchemaReleaseNotFound):
            packages.require_published(V("11.99"))


def test_no_uncorrected_migrator_is_chosen_while_the_index_refuses(
    index: LoopbackIndex, packages: SchemaPackages
) -> None:
    hop = ("11.25.0", "11.26.0")
    index.publish("11.26.0", {hop: "print('wrong')"})
    index.publish("11.26.1", {hop: "print('corrected')"})
    index.publish("11.27.0", {hop: "print('corrected')", ("11.26.1", "11.27.0"): "print()"})
    target = packages.fetch(V("11.27"))
    for version in ("11.26", "11.26.1"):
        packages.fetch(V(version))
    path = migration_path(target, V("11.25"), V("11.27"))
    index.fail("GET", "/simple/", Response(403), times=99)
    with pytest.raises(PackageIndexUnusable):
        place_hops(packages, path, Target(target.version, target))
    index.faults.clear()
    first, _ = place_hops(packages, path, Target(target.version, target))
    assert first is not None and first.release == V("11.26.1")


def test_migrators_of_a_candidate_that_are_not_the_official_ones_are_named(
    index: LoopbackIndex, packages: SchemaPackages
) -> None:
    first, second = ("11.25.0", "11.25.9"), ("11.25.9", "11.26.0")
    index.publish("11.26.0", {first: "print(1)", second: "print(2)"})
    index.publish("11.26.1", {first: "print(1)", second: "print(2)  # tidied"})
    index.publish("11.26.2", {first: "print(3)"})
    official, same, other = (packages.fetch(V(f"11.26.{number}")) for number in range(3))
    names = ["migrator_from_11_25_0_to_11_25_9", "migrator_from_11_25_9_to_11_26_0"]
    assert different_migrators(same, official, V("11.25")) == []
    assert different_migrators(other, official, V("11.25")) == names
    assert different_migrators(other, official, V("11.25.9")) == names[1:]
    assert different_migrators(None, official, V("11.25")) == names


def test_a_release_that_was_published_after_uv_last_looked_is_found(
    index: LoopbackIndex, packages: SchemaPackages
) -> None:
    with pytest.raises(SchemaReleaseNotFound):
        packages.fetch(V("11.26"))
    index.publish("11.26.0")
    assert packages.fetch(V("11.26")).path.is_dir()


@pytest.mark.parametrize("mood", [Response(403), Response(404), says_nothing])
def test_credentials_of_the_index_are_in_no_error(
    index: LoopbackIndex, packages: SchemaPackages, monkeypatch: pytest.MonkeyPatch, mood: Misbehaviour | Response
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.simple.replace("://", "://somebody:hunter%402@"))
    index.fail("GET", "/simple/", mood, times=99)
    with pytest.raises(SchemaError) as raised:
        packages.newest()
    assert "hunter" not in str(raised.value) and "somebody" not in str(raised.value)
    assert index.requests[0].headers.get("Authorization", "").startswith("Basic ")


@pytest.mark.parametrize("address", ["https://somebody:hunter2@[", "https://some/body:hunter2@host:port/simple"])
def test_a_malformed_address_of_the_index_is_refused_without_its_credentials(
    packages: SchemaPackages, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", address)
    with pytest.raises(SchemaError) as raised:
        packages.newest()
    assert "hunter2" not in str(raised.value)


def test_text_is_scrubbed_of_users_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_INDEX_PRIVATE_PASSWORD", "hunter2")
    message = "Failed to fetch git+https://github.com/a/b@branch from https://token@h/x, with hunter2"
    assert scrub(message) == "Failed to fetch git+https://github.com/a/b@branch from https://***@h/x, with ***"


def test_a_call_that_takes_too_long_is_ended_with_every_process_that_it_started(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "nmdc-schema"\nversion = "1"\n'
    )
    (tmp_path / "backend.py").write_text(
        f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(300)\n"
    )
    started = time.monotonic()
    with pytest.raises(PackageIndexUnreachable, match="within 4 seconds, and was terminated"):
        run_uv(["build", "--wheel", str(tmp_path)], what="a wheel", seconds=4)
    assert time.monotonic() - started < 30
    builder = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{builder}/cmdline").exists() and Path(f"/proc/{builder}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the build backend lives on"
        time.sleep(0.1)
