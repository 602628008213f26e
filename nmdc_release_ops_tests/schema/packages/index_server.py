"""A package index on the loopback address: a simple repository (PEP 503) of nmdc-schema, in any mood."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from nmdc_release_ops_tests.services.loopback import LoopbackServer, Request, Response

MIGRATOR = """
class Migrator:
    _from_version = "{origin}"
    _to_version = "{destination}"

    def upgrade(self):
        {upgrade}
"""


@dataclass
class PublishedRelease:
    """A release on the index.

    Attributes:
        wheel: the file.
        attributes: of its link, such as data-yanked.
        tag: which Pythons its wheel is for.
    """

    version: str
    wheel: bytes
    attributes: str = ""
    tag: str = "py3-none-any"

    @property
    def file(self) -> str:
        return f"nmdc_schema-{self.version}-{self.tag}.whl"

    @property
    def link(self) -> str:
        digest = hashlib.sha256(self.wheel).hexdigest()
        return f'<a href="/files/{self.file}#sha256={digest}" {self.attributes}>{self.file}</a>'


@dataclass
class LoopbackIndex(LoopbackServer):
    """The service; `fail` on "/simple/" is the index's mood, on "/files/" that of what hands out files."""

    releases: list[PublishedRelease] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def simple(self) -> str:
        """Its address for uv."""
        return f"{self.url}/simple"

    def publish(self, version: str, migrators: dict[tuple[str, str], str] | None = None, **fields: str) -> None:
        """A release with a migrator for each (from, to), which does what its text says."""
        self.releases.append(PublishedRelease(version, _wheel(version, migrators or {}), **fields))

    def answer(self, request: Request) -> Response:
        if request.path == "/simple/nmdc-schema/":
            page = "<!DOCTYPE html><html><body>" + "".join(one.link for one in self.releases) + "</body></html>"
            return Response(200, page.encode(), {"Content-Type": "text/html"})
        for one in self.releases:
            if request.path == f"/files/{one.file}":
                return Response(200, one.wheel, {"Content-Type": "application/octet-stream"})
        return Response(404)


@contextmanager
def loopback_index(*versions: str) -> Iterator[LoopbackIndex]:
    """An index with releases of these versions, for as long as the block lasts."""
    index = LoopbackIndex()
    with index.running():
        for version in versions:
            index.publish(version)
        yield index


def _wheel(version: str, migrators: dict[tuple[str, str], str]) -> bytes:
    about = f"nmdc_schema-{version}.dist-info"
    files = {
        "nmdc_schema/__init__.py": "",
        "nmdc_schema/migrators/adapters/mongo_adapter.py": "",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: nmdc-schema\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    for (origin, destination), upgrade in migrators.items():
        module = f"migrator_from_{origin}_to_{destination}".replace(".", "_")
        files[f"nmdc_schema/migrators/{module}.py"] = MIGRATOR.format(
            origin=origin, destination=destination, upgrade=upgrade
        )
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in files) + f"{about}/RECORD,,\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()
