"""Headers of GitHub's answers: rate limits, dates, ETags, links to the next page.

Nothing in them is trusted: a value that differs from GitHub's documentation counts as absent.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urljoin, urlsplit

from requests.utils import parse_header_links

from nmdc_release_ops.services.transport import Answer

# "Otherwise, wait for at least one minute before retrying."
SECONDARY_LIMIT_SECONDS = 60.0
LONGEST_LIMIT_SECONDS = 86_400.0
"""GitHub's limits last an hour. A wait of more than a day is ignored."""
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')
_LONGEST_ADDRESS = 2_000
_ADDRESS = re.compile(r"[!#-;=?-\[\]_a-z~]+", re.ASCII)


def wait_seconds(retry_after: str | None, reset: str | None, moment: datetime) -> float | None:
    """Seconds that a service asks us to wait; None if it names no time, or an impossible one.

    Args:
        retry_after: the header of that name, seconds or a date.
        reset: seconds since 1970.
        moment: when the answer was sent.
    """
    if retry_after is not None:
        seconds = _number(retry_after)
        if seconds is None:
            date = _date(retry_after)
            seconds = None if date is None else max((date - moment).total_seconds(), 0.0)
    else:
        number = _number(reset)
        seconds = None if number is None else max(number - moment.timestamp(), 0.0) + 1
    return seconds if seconds is not None and seconds <= LONGEST_LIMIT_SECONDS else None


def moment_of(answer: Answer) -> datetime:
    """When the answer was sent, by the service's clock: ours may be wrong."""
    return _date(answer.headers.get("Date", "")) or datetime.now(UTC)


def etag_of(answer: Answer) -> str | None:
    """Its ETag; None if it has none that can be sent back."""
    etag = answer.headers.get("ETag", "")
    return etag if _ETAG.fullmatch(etag) else None


def next_page(url: str, answer: Answer) -> str | None:
    """The address of the next page, unchecked; None on the last page."""
    for link in parse_header_links(answer.headers.get("Link", "")):
        if link.get("rel") == "next":
            return join(url, link.get("url", ""))
    return None


def join(base: str, address: str) -> str:
    """`address` resolved against `base`; unchanged if that is not possible."""
    try:
        return urljoin(base, address)
    except ValueError:
        return address


def is_below(address: str, base: str) -> bool:
    """Whether an address belongs to the same service, below its base address.

    A token is sent there, so characters and path segments that programs interpret differently are refused.
    """
    if len(address) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(address):
        return False
    try:
        given, ours = urlsplit(address), urlsplit(base)
        same_place = (given.scheme, given.hostname, given.port) == (ours.scheme, ours.hostname, ours.port)
    except ValueError:
        return False
    climbs = any(unquote(part) in (".", "..") for part in given.path.split("/"))
    return same_place and "@" not in given.netloc and not climbs and f"{given.path}/".startswith(f"{ours.path}/")


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"[0-9]{1,12}", text.strip(), re.ASCII) else None


def _date(text: str) -> datetime | None:
    """An HTTP date; None if the text is not one. The library's parser raises various errors then."""
    try:
        date = parsedate_to_datetime(text)
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return None
