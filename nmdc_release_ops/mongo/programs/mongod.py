"""Which mongod is run."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from nmdc_release_ops.mongo.errors import MongoError


class MongodNotFound(MongoError):
    """There is no mongod to run."""


def find_mongod() -> Path:
    """Path of the mongod to run: `MONGOD`, else the one on PATH, else the one of the `embedded` extra.

    Raises:
        MongodNotFound: there is none, or `MONGOD` names something that cannot be executed.
    """
    named = os.environ.get("MONGOD")
    if named:
        if not os.access(named, os.X_OK) or not Path(named).is_file():
            raise MongodNotFound(f"MONGOD is set to {named}, which is not an executable file. Correct or unset it.")
        return Path(named)
    on_path = shutil.which("mongod")
    if on_path:
        return Path(on_path)
    spec = find_spec("fiftyone")
    for location in (spec.submodule_search_locations or []) if spec else []:
        embedded = Path(location) / "db" / "bin" / "mongod"
        if embedded.is_file():
            # pip does not set the executable bit of package data; uv does.
            if not os.access(embedded, os.X_OK):
                embedded.chmod(0o755)
            return embedded
    raise MongodNotFound(
        "No mongod was found. Install MongoDB 6.0 or later and put mongod on PATH, or set MONGOD to its path, or "
        "(Linux x86_64) install this project with its `embedded` extra: uv sync --extra embedded."
    )
