"""Where a block may end so that the next dump of nearly the same documents has the same blocks.

A boundary lies after a document that is chosen by its own bytes, mostly by its `_id`. So a document that is inserted, deleted or
changed changes its own block, and seldom the next one. Only how often blocks stay the same depends on this, and nothing else.
"""

from zlib import crc32

from nmdc_release_ops.mongo.server.raw import cut_after

# Of a document: what follows its length, which changes with its content. An `_id` of any usual type, and little else.
_FIRST, _LAST = 4, 45


def find_boundary(run: bytes, position: int, end: int, least: int, spread: int) -> tuple[int, int, bool]:
    """The end of the first document that ends a block, how many documents that is, and True; else `end`, and False.

    Args:
        run: of concatenated BSON, whole documents from `position` to `end`.
        least: bytes from `position` on within which no block ends.
        spread: how many bytes further on it ends, on average. A long document is chosen as often as the short ones in its place.
    """
    position, count = cut_after(run, position, max(0, min(least, end - position)))
    while position < end:
        length = int.from_bytes(run[position : position + 4], "little")
        chosen_by = run[position + _FIRST : position + min(_LAST, length)]
        position += length
        count += 1
        if crc32(chosen_by) * spread < length << 32:
            return position, count, True
    return end, count, False
