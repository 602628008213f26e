"""Verdicts of blocks that are kept for the next audit, which need not judge the same bytes again.

A file is named by the collection and by the sha256 of the block's bytes, in a folder for one schema and one code that judges
(`schema/environments/judging.py`). It holds what judging has found in the documents of the block alone: their number, the
violations of the schema, and the ids. What depends on other documents is found anew each time:

- The references: the file holds the different targets of the block's references, and in which collections they may be. They
  are looked up among the ids of all documents. If one is not where it may be, the whole block is judged again, which finds
  whose it is.
- The ids are counted with those of all other blocks.

A file that is damaged, or cut, is judged again. Files are written for one audit and only become those of the next one when it is
complete, so those that it did not use are gone with the folder of the audit before.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ..disk import link_or_copy, writing
from .archived_blocks import ArchivedBlock
from .integrity.identifiers import Id
from .violations import Violation

MOST_VIOLATIONS = 1_000
"""A block with more violations is judged again each time."""
_DIGEST_BYTES = 32

Targets = Mapping[frozenset[str], Set[Id]]
"""The different targets of some references, by the collections that they may be in."""


@dataclass(frozen=True)
class Verdict:
    """What judging a block has found, where every reference of it was valid.

    Attributes:
        references: how many.
        violations: of the schema, by single documents, in the order of the documents.
    """

    documents: int
    references: int
    violations: Sequence[Violation]
    targets: Targets

    def to_content(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "documents": self.documents,
            "references": self.references,
            "violations": [asdict(one) for one in self.violations],
            "targets": [[sorted(allowed), list(ids)] for allowed, ids in self.targets.items()],
        }

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Self:
        return cls(
            content["documents"],
            content["references"],
            [Violation(**one) for one in content["violations"]],
            {frozenset(allowed): set(ids) for allowed, ids in content["targets"]},
        )


@dataclass(frozen=True)
class KeptVerdicts:
    """The verdicts of the last audit, and those of the one at work.

    Attributes:
        last: folder of those of the last audit; need not exist.
        present: folder of those of this one, on the same disk.
    """

    last: Path
    present: Path

    def read_ids(self, block: ArchivedBlock) -> list[Id] | None:
        """The ids of a block's documents; None if they are not kept."""
        found: list[Id] | None = self._read(block, "ids")
        return found

    def write_ids(self, block: ArchivedBlock, ids: Sequence[Id]) -> None:
        """Keep the ids of a block's documents.

        Raises:
            NotWritten
        """
        self._write(block, "ids", ids)

    def read(self, block: ArchivedBlock) -> Verdict | None:
        """The verdict on a block; None if it is not kept."""
        content = self._read(block, "verdict")
        return None if content is None else Verdict.from_content(content)

    def write(self, block: ArchivedBlock, verdict: Verdict) -> None:
        """Keep the verdict on a block, unless it has too many violations.

        Raises:
            NotWritten
        """
        if len(verdict.violations) <= MOST_VIOLATIONS:
            self._write(block, "verdict", verdict.to_content())

    def _read(self, block: ArchivedBlock, what: str) -> Any:
        path = self.last / _file_name(block, what)
        try:
            whole = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(whole[_DIGEST_BYTES:]).digest() != whole[:_DIGEST_BYTES]:
            return None
        content = json.loads(zlib.decompress(whole[_DIGEST_BYTES:]))
        link_or_copy(path, self.present / path.name)
        return content

    def _write(self, block: ArchivedBlock, what: str, content: Any) -> None:
        path = self.present / _file_name(block, what)
        compressed = zlib.compress(json.dumps(content).encode(), 1)
        with writing(path):
            # It may be a link to the file of the last audit, which stays as it is.
            path.unlink(missing_ok=True)
            path.write_bytes(hashlib.sha256(compressed).digest() + compressed)


def _file_name(block: ArchivedBlock, what: str) -> str:
    key = hashlib.sha256(f"{block.collection}\0{block.sha256}".encode()).hexdigest()
    return f"{key}.{what}"
