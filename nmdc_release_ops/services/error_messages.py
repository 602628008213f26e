"""GitHub's error messages, made safe to show: nothing in them is trusted."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from nmdc_release_ops.services.transport import Answer

_LONGEST_MESSAGE = 300


def error_message(answer: Answer) -> str:
    """GitHub's message, ": Not Found"; empty if there is none."""
    given = _document(answer)
    message = given.get("message")
    words = [message] if isinstance(message, str) else []
    for error in given.get("errors") or [] if isinstance(given.get("errors"), list) else []:
        if isinstance(error, Mapping):
            words.append(
                " ".join(error[key] for key in ("field", "code", "message") if isinstance(error.get(key), str))
            )
        elif isinstance(error, str):
            words.append(error)
    text = printable("; ".join(words))
    return f": {text}" if text else ""


def error_codes(answer: Answer) -> frozenset[str]:
    """GitHub's error codes, such as "already_exists"."""
    errors = _document(answer).get("errors")
    if not isinstance(errors, list):
        return frozenset()
    return frozenset(
        code for error in errors if isinstance(error, Mapping) and isinstance(code := error.get("code"), str)
    )


def _document(answer: Answer) -> dict[str, Any]:
    try:
        given = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}


def describe_mismatch(error: ValidationError) -> str:
    """How an answer differs from the documentation: the first few fields, "0.tag_name: Field required"."""
    errors = error.errors(include_url=False, include_input=False)
    described = [f"{'.'.join(str(part) for part in one['loc']) or 'the answer'}: {one['msg']}" for one in errors[:5]]
    return printable("; ".join(described))


def printable(text: str) -> str:
    """`text` on one line, shortened if it is long."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown if len(shown) <= _LONGEST_MESSAGE else shown[:_LONGEST_MESSAGE] + "..."
