"""What tests share: real servers and real schema environments, made once per session."""

import math
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod, private_mongod
from nmdc_release_ops.resources.transformer import TRANSFORMER_PARAMETERS
from nmdc_release_ops.schema.environments.environment import SchemaEnvironments
from nmdc_release_ops_tests.origin_copies import folder_of_originals
from nmdc_release_ops_tests.schema.forking.on_request import forking_on_request, request_forking
from nmdc_release_ops_tests.services.github_server import LoopbackGitHub, loopback_github
from nmdc_release_ops_tests.workplace import PROJECT

LONGEST = (
    Path("schema", "worker", "validating", "test_agreement.py"),
    Path("schema", "worker", "migrating", "test_every_migrator.py"),
    Path("steps", "test_equivalence.py"),
    Path("steps", "test_faults.py"),
    Path("steps", "test_candidate.py"),
    Path("steps", "test_cancelling.py"),
    Path("steps", "test_promote_faults.py"),
    Path("steps", "test_every_selection.py"),
    Path("steps", "test_killed_in_the_swap.py"),
    Path("schema", "worker", "migrating", "test_adapter.py"),
)
"""Minutes in one file each, the longest first."""
LONG_ROOMS = ("steps", "schema", "demo")
"""Where files take minutes: they make whole releases or run a schema's own code."""

MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 8_000_000_000
"""Bytes that must be free for the tests' folders to be in memory. A mongod that runs holds 300 MB there, a worker of pytest
four or five of them."""
SERVERS = "servers"
"""The folder of the servers that all tests of a worker share."""


def pytest_configure(config: pytest.Config) -> None:
    put_folders_into_memory()
    heed_interrupts()
    # A worker of pytest has the variables of the process that started it.
    if not hasattr(config, "workerinput"):
        shared = ExitStack()
        shared.enter_context(folder_of_originals())
        shared.enter_context(forking_on_request())
        config.add_cleanup(shared.close)


def put_folders_into_memory() -> None:
    """Put the tests' folders into memory where there is plenty of it.

    A mongod waits for its disk after every write that has to be durable, and after each file that it creates: on an ordinary
    disk two files of tests took 67 s instead of 92 without it. No test cuts the power, so none needs a disk. `TMPDIR` is obeyed.
    """
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and os.access(MEMORY, os.W_OK):
        room = min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available, memory_of_the_container())
        if room > MEMORY_NEEDED:
            # Where pytest makes its folders, unless `--basetemp` says otherwise.
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def heed_interrupts() -> None:
    """A shell has what it runs in the background ignore SIGINT. Dagster then ignores SIGTERM too, and so does whatever tests
    start: ending it would take until it is killed."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def memory_of_the_container() -> float:
    """Bytes that this container may use at most; infinite outside of one."""
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return math.inf if text == "max" else int(text)


@pytest.fixture(scope="module", autouse=True)
def folders_of_a_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remove what the tests of a file left in their folders, unless one failed: all of it would fill the memory."""
    base, failed = tmp_path_factory.getbasetemp(), request.session.testsfailed
    there = set(base.iterdir())
    yield
    if request.session.testsfailed == failed:
        for folder in set(base.iterdir()) - there:
            if not folder.name.startswith(SERVERS):
                shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first. They are spread over the workers one by one: a long file at the end keeps one worker busy
    while the others have nothing left."""

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent)
        if path in LONGEST:
            return LONGEST.index(path)
        return len(LONGEST) + (path.parts[0] not in LONG_ROOMS)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def schema_cache() -> Path:
    """Where packages and environments of schema releases are kept between test runs: they take long to make."""
    home = Path(os.environ.get("NMDC_RELEASE_HOME") or PROJECT / ".nmdc-release")
    folder = home.resolve() / "schema"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def schema_environments(schema_cache: Path) -> SchemaEnvironments:
    return SchemaEnvironments(schema_cache)


@pytest.fixture(scope="session")
def warm_schema(schema_cache: Path) -> Path:
    """Like `schema_cache`; the workers of the usual releases are forks of processes that have imported what they need."""
    return request_forking(schema_cache)


@pytest.fixture(scope="session")
def warm_transformer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateMongod]:
    """A transformer that runs already, for any number of releases."""
    folder = tmp_path_factory.mktemp(f"{SERVERS}-transformer")
    with private_mongod(folder, authentication=False, parameters=TRANSFORMER_PARAMETERS) as server:
        yield server


@pytest.fixture(scope="session")
def scratch_mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateMongod]:
    """A replica set of one node without authentication, for everything that may write where it likes."""
    with private_mongod(tmp_path_factory.mktemp(f"{SERVERS}-scratch"), authentication=False) as server:
        yield server


@pytest.fixture(scope="session")
def guarded_mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateMongod]:
    """A replica set of one node with authentication: only there can writes of others be blocked and ours not."""
    with private_mongod(tmp_path_factory.mktemp(f"{SERVERS}-guarded")) as server:
        yield server


@pytest.fixture
def github() -> Iterator[LoopbackGitHub]:
    """GitHub on the loopback address, with nothing on it."""
    with loopback_github() as found:
        yield found
