"""The ids of the demo database: in NMDC's shape, computed instead of stored.

Any document can refer to any other without having seen it, so a database of millions can be written as
a stream. The shape (`nmdc:TYPECODE-SHOULDER-BLADE`) is that of the schema's identifier patterns.
"""

from functools import cache
from zlib import crc32

from bson import ObjectId

_SHOULDER = "11"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_BLADES = 1 << 40
_SPREAD = 0x9E3779B97F  # odd: multiplying by it modulo a power of two maps each index to a different blade

_CREATED = (1_735_689_600).to_bytes(4, "big")  # the seconds part of every ObjectId: 2025-01-01, UTC


@cache
def _offset(typecode: str, seed: int) -> int:
    return crc32(f"{seed}:{typecode}".encode()) << 8


def identifier(typecode: str, index: int, seed: int) -> str:
    """The id of document number `index` (0 <= index < 2**40) of a typecode, such as `bsm` or `wfmgan`."""
    blade = (index * _SPREAD + _offset(typecode, seed)) % _BLADES
    return (
        f"nmdc:{typecode}-{_SHOULDER}-"
        f"{_PAIRS[blade >> 30]}{_PAIRS[blade >> 20 & 1023]}{_PAIRS[blade >> 10 & 1023]}{_PAIRS[blade & 1023]}"
    )


def object_id_prefix(collection: str, seed: int) -> bytes:
    """The first 7 of the 12 bytes of a collection's ObjectIds: a time, then the collection and the seed."""
    return _CREATED + crc32(f"{seed}:{collection}".encode()).to_bytes(4, "big")[:3]


def object_id(prefix: bytes, ordinal: int) -> ObjectId:
    """The `_id` of a collection's document number `ordinal`: increasing, as those of inserted documents are."""
    return ObjectId(prefix + ordinal.to_bytes(5, "big"))
