"""`nmdc-release archives`: what archives there are, whether one is damaged, and how to restore it by hand."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel, ConfigDict
from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from nmdc_release_ops.command.origin import release_home
from nmdc_release_ops.command.screen import explaining, fail, screen
from nmdc_release_ops.folders import ARCHIVE, find_releases, is_rehearsal
from nmdc_release_ops.mongo.archive.inspect import find_all_damage
from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged, read_manifest
from nmdc_release_ops.mongo.archive.restoring import ArchivedRelease, describe_restoring
from nmdc_release_ops.pages.summary import ReleaseSummary
from nmdc_release_ops.units import size

_VERSIONS = re.compile(r"\d{8}T\d{6}Z-(?P<before>.+)-to-(?P<after>.+)-[0-9a-f]+")


class ListedArchive(BaseModel):
    """One archive.

    Attributes:
        origin: the name of its folder.
        from_version: of the schema, that the archived data conform to.
        to_version: that the release leads to.
        bytes: of BSON.
        file_bytes: on disk, compressed.
        fault: why its manifest cannot be read; empty if it can.
    """

    model_config = ConfigDict(frozen=True)

    release_id: str
    origin: str
    path: Path
    is_rehearsal: bool
    from_version: str
    to_version: str
    created_at: datetime | None = None
    collections: int = 0
    documents: int = 0
    bytes: int = 0
    file_bytes: int = 0
    fault: str = ""


def list_archives(home: Path) -> Iterator[ListedArchive]:
    """All archives of all origins, newest first.

    Args:
        home: `NMDC_RELEASE_HOME`.
    """
    for release in find_releases(home):
        folder = release / ARCHIVE
        if not folder.is_dir():
            continue
        versions = _VERSIONS.fullmatch(release.name)
        known: dict[str, Any] = {
            "release_id": release.name,
            "origin": release.parent.parent.name,
            "path": folder,
            "is_rehearsal": is_rehearsal(release),
            "from_version": versions["before"] if versions else "",
            "to_version": versions["after"] if versions else "",
        }
        try:
            manifest = read_manifest(folder)
        except ArchiveDamaged as damage:
            yield ListedArchive(**known, fault=str(damage))
            continue
        yield ListedArchive(
            **known,
            created_at=manifest.created_at,
            collections=len(manifest.collections),
            documents=manifest.documents,
            bytes=manifest.bytes,
            file_bytes=manifest.file_bytes,
        )


def show_archives(*, json: bool) -> None:
    """Print them."""
    with explaining(1):
        home = _readable_home()
        found = list(list_archives(home))
    if json:
        typer.echo(f"[{','.join(one.model_dump_json() for one in found)}]")
        return
    console = screen()
    if not found:
        console.print(Text(f"There is no archive in {home} (NMDC_RELEASE_HOME)."), soft_wrap=True)
        return
    for one in found:
        console.print(Text(one.release_id, style="bold"), soft_wrap=True)
        console.print(Padding(Text(_describe(one), style="red" if one.fault else ""), (0, 0, 0, 2)))


def _describe(archive: ListedArchive) -> str:
    if archive.fault:
        return archive.fault
    kind = "rehearsal" if archive.is_rehearsal else "release"
    return (
        f"{kind} {archive.from_version} -> {archive.to_version}, dumped {archive.created_at:%Y-%m-%d %H:%M} UTC, "
        f"{archive.documents:,} documents in {archive.collections} collections, {size(archive.bytes)}, "
        f"{size(archive.file_bytes)} on disk"
    )


def verify(release: str) -> None:
    """Verify one in full, with a progress bar on a terminal; end with 1 if it is damaged."""
    with explaining(1):
        folder = _find(release)
        manifest = read_manifest(folder)
        columns = (TextColumn("verifying"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        console = screen(errors=True)
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
            task = progress.add_task("", total=manifest.file_bytes)
            damage = list(find_all_damage(folder, manifest, lambda count: progress.advance(task, count)))
    if damage:
        lines = "\n".join(f"- {line}" for line in damage)
        fail(f"The archive {folder.parent.name} is damaged:\n{lines}", 1)
    screen().print(
        Text(
            f"The archive {folder.parent.name} is as it was dumped: {len(manifest.collections)} collections, "
            f"{manifest.documents:,} documents, {size(manifest.bytes)}."
        ),
        soft_wrap=True,
    )


def print_restoring(release: str, collection: str | None) -> None:
    """Print the commands that restore one."""
    with explaining(1):
        folder = _find(release)
        manifest = read_manifest(folder)
    names = [one.name for one in manifest.collections]
    if collection is not None and collection not in names:
        fail(f"The archive has no collection {collection}. It has: {', '.join(sorted(names))}.", 2)
    # Not wrapped: people copy the lines.
    for line in describe_restoring(folder, manifest, collection, _find_archived(folder.parent)):
        typer.echo(line)


def _find_archived(folder: Path) -> ArchivedRelease | None:
    """The release of a folder, by its page, or by its name where it has none; None where neither says its versions."""
    summary = ReleaseSummary.read(folder / "release.json")
    if summary is not None:
        added = None if summary.changes is None else summary.changes.names_added
        return ArchivedRelease(summary.from_version, summary.to_version, added)
    versions = _VERSIONS.fullmatch(folder.name)
    return ArchivedRelease(versions["before"], versions["after"]) if versions else None


def _find(release: str) -> Path:
    """The archive of the release with this id, or with the only id that begins so."""
    archives = {one.name: one / ARCHIVE for one in find_releases(_readable_home()) if (one / ARCHIVE).is_dir()}
    found = [release] if release in archives else [name for name in archives if name.startswith(release)]
    if len(found) != 1:
        known = "".join(f"\n  {name}" for name in found or archives) or " none"
        fail(f"{'Several archives begin' if found else 'No archive begins'} with {release!r}. There are:{known}", 2)
    return archives[found[0]]


def _readable_home() -> Path:
    """Raises:
    OSError: this user may not read it, and would see no archives where there are some.
    """
    home = release_home()
    if home.exists():
        next(home.iterdir(), None)
    return home
