"""The environment of the programs that are started."""

import os


def environment_without_secrets() -> dict[str, str]:
    """The part of our environment that a program we start may see."""
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "HOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH")
    return {name: os.environ[name] for name in kept if name in os.environ}
