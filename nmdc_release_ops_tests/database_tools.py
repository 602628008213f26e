"""Which of MongoDB's Database Tools the machine has, and the mark for tests that need them."""

import shutil

import pytest

from nmdc_release_ops.mongo.archive.manifest import Engine
from nmdc_release_ops.mongo.programs.database_tools import MONGODUMP, MONGORESTORE

TOOLS = (MONGODUMP, MONGORESTORE)
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
needs_tools = pytest.mark.skipif(bool(MISSING), reason=f"not on PATH: {', '.join(MISSING)} (see CONTRIBUTING.md)")

ENGINES = [
    pytest.param(Engine.NATIVE, id="native"),
    pytest.param(Engine.MONGO_TOOLS, id="mongo-tools", marks=needs_tools),
]
PAIRS = [
    pytest.param(
        (dumps, loads), id=f"{dumps}-{loads}", marks=[needs_tools] if Engine.MONGO_TOOLS in (dumps, loads) else []
    )
    for dumps in Engine
    for loads in Engine
]
