"""A release candidate is built from a branch, a wheel or a folder, and is never taken for anything else."""

import subprocess
from pathlib import Path

import pytest

from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.packages.candidate import (
    Candidate,
    InvalidSchemaSource,
    commit_of,
    fetch_candidate,
    release_named,
    require_source,
    requirements_of,
    version_of,
)
from nmdc_release_ops.schema.packages.package import PackageUnreadable, SchemaPackages
from nmdc_release_ops.schema.uv import run_uv
from nmdc_release_ops.schema.version import InvalidSchemaVersion, SchemaVersion
from nmdc_release_ops_tests.schema.packages.checkout import MODULE, edit, make_checkout
from nmdc_release_ops_tests.schema.packages.index_server import loopback_index

V = SchemaVersion.parse


@pytest.fixture
def checkout(schema_cache: Path, tmp_path: Path) -> Path:
    return make_checkout(SchemaPackages(schema_cache).fetch(V("11.25")), tmp_path / "checkout")


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    command = ["git", *who, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_folder_is_built_under_a_name_of_its_own_and_anew_when_it_was_edited(checkout: Path, tmp_path: Path) -> None:
    candidate, package = fetch_candidate(tmp_path, str(checkout))
    assert version_of(package) == V("11.26")
    assert fetch_candidate(tmp_path, str(checkout)) == (candidate, package)
    edit(checkout, "corrected")
    other, edited = fetch_candidate(tmp_path, str(checkout))
    assert other != candidate
    assert "corrected" in (edited / "nmdc_schema" / "migrators" / f"{MODULE}.py").read_text()
    assert "corrected" not in (package / "nmdc_schema" / "migrators" / f"{MODULE}.py").read_text()
    folders = {path.name for path in (tmp_path / "packages").iterdir() if path.is_dir()}
    assert folders == {candidate.name, other.name}


def test_a_branch_is_built_from_the_commit_it_is_at(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "init", "--initial-branch", "a-branch")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--message", "a candidate")
    _, package = fetch_candidate(tmp_path, f"nmdc-schema @ git+{checkout.as_uri()}@a-branch")
    assert commit_of(package) == git(checkout, "rev-parse", "HEAD")
    edit(checkout, "corrected")
    git(checkout, "commit", "--all", "--message", "corrected")
    _, moved = fetch_candidate(tmp_path, f"git+{checkout.as_uri()}@a-branch")
    assert moved != package
    assert commit_of(moved) == git(checkout, "rev-parse", "HEAD")


def test_a_wheel_is_the_same_candidate_as_the_folder_it_was_built_from(checkout: Path, tmp_path: Path) -> None:
    candidate, _ = fetch_candidate(tmp_path, str(checkout))
    run_uv(["build", "--wheel", "--out-dir", str(tmp_path / "dist"), str(checkout)], what="a wheel")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert fetch_candidate(tmp_path, str(wheel))[0] == candidate


@pytest.mark.parametrize(
    "source",
    [
        "nmdc-schema @ git+https://hunter2@github.com/microbiomedata/nmdc-schema@main",
        "nmdc-schema @ git+https://somebody:hunter2@github.com/microbiomedata/nmdc-schema",
        "git+ssh://git:hunter2@github.com/microbiomedata/nmdc-schema",
        "https://example.org/nmdc_schema-1.0-py3-none-any.whl?token=hunter2",
    ],
)
def test_credentials_are_refused_and_not_repeated(source: str) -> None:
    with pytest.raises(InvalidSchemaSource, match="revoke it") as refusal:
        require_source(source)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    "source",
    [
        *("", "11.26", "nmdc-schema==11.25", "a/folder", "/no/such/folder", "/etc", "/etc/hosts.whl"),
        "nmdc-schema @ http://example.org/a.whl",
        "another-package @ https://example.org/a.whl",
        "nmdc-schema @ https://example.org/a.whl\nanother-package",
        "nmdc-schema @ https://example.org/a.whl --index-url=https://example.org",
        "/a/folder\n--index-url=https://example.org",
    ],
)
def test_what_leads_nowhere_is_refused_with_examples_or_the_reason(source: str) -> None:
    with pytest.raises(InvalidSchemaSource, match=r"Examples|neither a wheel|begin with"):
        require_source(source)


@pytest.mark.parametrize(
    "source",
    [
        "nmdc-schema @ https://example.org/${UV_INDEX_PRIVATE_PASSWORD}/nmdc_schema-1.0-py3-none-any.whl",
        "nmdc-schema @ git+https://${UV_INDEX_PRIVATE_PASSWORD}.example.org/nmdc-schema",
        "file:///$HOME/nmdc-schema",
        "/tmp/${UV_INDEX_PRIVATE_PASSWORD}",
        "nmdc-schema @ ${UV_INDEX_PRIVATE_PASSWORD}",
    ],
)
def test_nothing_of_uvs_environment_is_put_into_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("UV_INDEX_PRIVATE_PASSWORD", "hunter2")
    with pytest.raises(InvalidSchemaSource, match="dollar sign") as refusal:
        fetch_candidate(tmp_path, source)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "source",
    [
        "nmdc-schema @ https://[",
        "https://example.org:port/a.whl",
        "https:///a.whl",
        "git+https://example.org/nmdc-schema@--upload-pack=touch",
        "git+ssh://-oProxyCommand=touch/nmdc-schema",
        "git+https://example.org/nmdc-schema@somebody:hunter2@a-branch",
        "https://example.org/a@b.whl",
        "https://example.org/a.whl#--index-url=https://evil.example",
        "git+https://example.org/nmdc-schema#egg=another",
        "https://example.org/a.whl;python_version<'3'",
        "https://example.org/a.whl\\",
        "https://example.org/{a,b}.whl",
        "https://example.org/\u00e4.whl",
        "file://evil.example/a.whl",
        "file:///no/such/folder",
        "file:///etc/hostname",
        "file:///etc/%00.whl",
        "git+file://example.org/nmdc-schema",
        "/" + "a" * 5_000,
        "/a\x00b.whl",
        "nmdc-schema[all] @ https://example.org/a.whl",
        "nmdc-schema @ https://example.org/a.whl --no-index",
        "-r https://example.org/a.txt",
    ],
)
def test_what_does_not_belong_into_an_address_is_refused(source: str) -> None:
    with pytest.raises(InvalidSchemaSource) as refusal:
        require_source(source)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "source",
    [
        "git+https://github.com/microbiomedata/nmdc-schema@a/branch-1.0",
        "git+https://github.com/microbiomedata/nmdc-schema@v11.25#subdirectory=packages/schema",
        "https://example.org:8443/~me/nmdc_schema-11.26.0+local.1-py3-none-any.whl",
    ],
)
def test_plain_addresses_are_taken_as_they_are(source: str) -> None:
    assert require_source(source) == f"nmdc-schema @ {source}"


def test_a_wheel_of_another_project_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "another-1.0-py3-none-any.whl"
    with loopback_index("1.0") as index:
        wheel.write_bytes(index.releases[0].wheel)
    with pytest.raises(SchemaError, match="another"):
        fetch_candidate(tmp_path, str(wheel))


@pytest.mark.parametrize("requirement", ["--index-url https://evil.example", "a @ https://e/${UV_X}", "-e .", "a \\"])
def test_a_package_that_requires_what_is_no_requirement_is_refused(tmp_path: Path, requirement: str) -> None:
    folder = tmp_path / "nmdc_schema-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Name: nmdc-schema\nRequires-Dist: {requirement}\n\nText")
    with pytest.raises(PackageUnreadable):
        requirements_of(tmp_path)


def test_everybodys_way_to_log_in_by_ssh_is_accepted() -> None:
    source = "git+ssh://git@github.com/microbiomedata/nmdc-schema@a-branch"
    assert require_source(source) == f"nmdc-schema @ {source}"


def test_a_package_without_a_schema_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    (folder / "other").mkdir(parents=True)
    (folder / "other" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "nmdc-schema"\nversion = "1.0"\n[tool.setuptools]\npackages = ["other"]\n'
    )
    with pytest.raises(PackageUnreadable):
        fetch_candidate(tmp_path, str(folder))
    assert not [path for path in (tmp_path / "packages").iterdir() if path.is_dir()]


def test_a_name_is_that_of_a_candidate_or_of_a_published_release_and_never_both() -> None:
    assert release_named("candidate-0123456789ab") == Candidate("candidate-0123456789ab")
    assert release_named("11.25.0") == V("11.25")
    for wrong in ("candidate-../../etc", "candidate-0123", "../11.25.0"):
        with pytest.raises(InvalidSchemaVersion):
            release_named(wrong)
        with pytest.raises(ValueError, match="not the name"):
            Candidate.parse(wrong)
