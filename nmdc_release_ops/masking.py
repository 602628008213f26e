"""Masking secrets in texts that people read."""

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, unquote_plus

MASK = "***"
# In a well-formed address; "https://github.com/a/b@branch" has no login.
_LOGIN = re.compile(r"(?<=://)[^\s/?#@'\"`]+(?=@)")
# In a malformed address too, everything that can be a login, and all parameters.
_MAYBE_SECRET = re.compile(r"(?<=//)\S*(?=@)|(?<=\?)\S+")


def mask(text: str, secrets: Iterable[str]) -> str:
    """Mask each of these secrets, however it is spelled in a URL."""
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
    for spelling in sorted(spellings, key=len, reverse=True):
        text = text.replace(spelling, MASK)
    return text


def mask_logins(text: str) -> str:
    """Mask user names, passwords and tokens before the host of each address in a text."""
    return _LOGIN.sub(MASK, text)


def mask_address(address: str) -> str:
    """Mask everything in an address that can be a secret. The address may be malformed, so this can mask too much."""
    return _MAYBE_SECRET.sub(MASK, address)


def _spellings(secret: str) -> set[str]:
    # In a form, and in a connection string of MongoDB's drivers, a plus is a space.
    plain = {secret, unquote(secret), unquote_plus(secret)}
    return {spelling for spelling in plain | {quote(value, safe="") for value in plain} if spelling}
