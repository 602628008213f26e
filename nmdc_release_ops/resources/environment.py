"""What is read from the environment."""

import os


class ConfigurationMissing(Exception):
    """An environment variable that a step needs is not set."""


class ConfigurationInvalid(Exception):
    """An environment variable has a value that it cannot have."""


def read_words(variable: str, default: str) -> list[str]:
    return [word.strip() for word in (os.environ.get(variable) or default).split(",") if word.strip()]


def read_secret(variable: str) -> str | None:
    return (os.environ.get(variable) or "").strip() or None
