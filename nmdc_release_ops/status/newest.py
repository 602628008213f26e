"""The newest schema release that was published, as far as that can be found out quickly."""

from concurrent.futures import Future
from pathlib import Path
from threading import Thread

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.packages.package import SchemaPackages

SECONDS = 3.0


def find_newest(home: Path) -> str | None:
    """The version; None where the package index does not say within a few seconds.

    Args:
        home: `NMDC_RELEASE_HOME`.
    """
    try:
        return str(SchemaPackages(home / "schema").newest(SECONDS))
    except (SchemaError, FileNotWritten, OSError):
        return None


def begin_to_find_newest(home: Path) -> Future[str | None]:
    """The same, while the caller goes on."""
    found: Future[str | None] = Future()
    Thread(target=lambda: found.set_result(find_newest(home)), daemon=True).start()
    return found
