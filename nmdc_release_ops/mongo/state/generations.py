"""The names that a release gives to collections that are not live, and their maximum length."""

from collections.abc import Iterable
from itertools import count

from nmdc_release_ops.mongo.server.renaming import ASIDE

STAGED = "_release.staged."
"""The collection is written and verified, and will become live."""
PREVIOUS = "_release.previous."
"""The collection was live before the last swap."""
INTRUDER = "_release.intruder."
"""A collection that somebody created under a name that a swap or a rollback needed: `_release.intruder.NUMBER.NAME`. No
release drops it."""
OURS = (STAGED, PREVIOUS, INTRUDER, ASIDE)

MOST_BYTES = 255
"""Maximum length of a database's name, a dot and a collection's name together (MongoDB 4.4 and later)."""
_LONGEST_PREFIX = f"{INTRUDER}9999."


def is_ours(name: str) -> bool:
    """Whether a release gave a collection this name."""
    return name.startswith(OURS)


def name_of_next_intruder(name: str, taken: Iterable[str]) -> str:
    """The name under which a collection called `name` is kept when it is moved aside.

    A release's prefix is left out: with both, the longest names that a release can carry over would be too long.

    Args:
        taken: names in use, including those of earlier intruders.
    """
    numbers = {used.removeprefix(INTRUDER).partition(".")[0] for used in taken if used.startswith(INTRUDER)}
    number = next(number for number in count(1) if str(number) not in numbers)
    return f"{INTRUDER}{number}.{name.removeprefix(STAGED).removeprefix(PREVIOUS)}"


def describe_too_long(database: str, names: Iterable[str], transformer: str = "") -> list[str]:
    """A line for each of the live names that is too long to be given a release's prefix.

    Args:
        transformer: name of the database that migrators work on; "" to ignore it.
    """
    longest = max(len(f"{database}.{_LONGEST_PREFIX}".encode()), len(f"{transformer}.".encode()))
    return [
        f"The name {name} is {len(name.encode())} bytes long. In {database}, a release can carry over names of at most "
        f"{MOST_BYTES - longest} bytes: MongoDB allows {MOST_BYTES} for the database, a dot and the collection, and a release "
        f"needs {longest} of them. Rename the collection."
        for name in sorted(set(names))
        if longest + len(name.encode()) > MOST_BYTES
    ]
