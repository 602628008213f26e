"""Where the pages are, and writing them: those of all releases, because what became of one changes what others say.

releases/index.html                                     lists all
origins/ORIGIN/releases/RELEASE/release.html, .json     of a release, a rehearsal or a promotion
origins/ORIGIN/releases/RELEASE/rollback.html, .json    of its rollback
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from nmdc_release_ops.files import lock, write_whole, writing
from nmdc_release_ops.pages.index_page import Entry, index_page
from nmdc_release_ops.pages.release_page import release_page
from nmdc_release_ops.pages.summary import Outcome, ReleaseSummary, Standing, find_standing

_NAMES = ("release.json", "rollback.json")


def index_of(home: Path) -> Path:
    """The page that lists all releases below a release home."""
    return home / "releases" / "index.html"


def read_summaries(home: Path) -> Iterator[tuple[Path, ReleaseSummary]]:
    """Every summary below a release home that can be read, with the folder it is in."""
    for name in _NAMES:
        for path in sorted(home.glob(f"origins/*/releases/*/{name}")):
            if (summary := ReleaseSummary.read(path)) is not None:
                yield path.parent, summary


def standing_of(home: Path, folder: Path, summary: ReleaseSummary) -> Standing:
    """What became of a release since, by the other releases of its database."""
    others = [one for where, one in read_summaries(home) if where.parent == folder.parent]
    return find_standing(summary, folder, others)


def write_pages(
    home: Path,
    summaries: Mapping[Path, ReleaseSummary],
    ended: Mapping[Path, ReleaseSummary] | None = None,
    *,
    wait: bool = True,
) -> None:
    """Write summaries into the folders of their releases, and every page that says something else by now.

    Several processes may do it at once: each waits for the other, unless `wait` is false.

    Args:
        ended: of runs whose pages say that they are under way. Written where they still do: a run that re-executes one of them
            may have ended since, and its page must stay.

    Raises:
        BlockingIOError: another process is writing pages, and `wait` is false.
        FileNotWritten, OSError.
    """
    index = index_of(home)
    with writing(index.parent):
        index.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock(index, wait=wait):
        corrected = {
            folder: summary
            for folder, summary in (ended or {}).items()
            if _is_under_way(folder / f"{summary.file_name}.json", summary.run_id)
        }
        for folder, summary in {**corrected, **summaries}.items():
            write_whole(folder / f"{summary.file_name}.json", summary.model_dump_json(indent=1) + "\n")
        entries = _list_entries(home)
        for entry in entries:
            _write_if_changed(entry.page, release_page(entry.summary, entry.standing, index))
        _write_if_changed(index, index_page(entries, index.parent))


def _is_under_way(path: Path, run_id: str) -> bool:
    summary = ReleaseSummary.read(path)
    return summary is not None and summary.outcome is Outcome.UNDER_WAY and summary.run_id == run_id


def _list_entries(home: Path) -> list[Entry]:
    """Newest first."""
    found = list(read_summaries(home))
    of_origin: dict[Path, list[ReleaseSummary]] = {}
    for folder, summary in found:
        of_origin.setdefault(folder.parent, []).append(summary)
    entries = [
        Entry(summary, find_standing(summary, folder, of_origin[folder.parent]), folder / f"{summary.file_name}.html")
        for folder, summary in found
    ]
    return sorted(entries, key=lambda entry: entry.summary.started, reverse=True)


def _write_if_changed(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_whole(path, text)
