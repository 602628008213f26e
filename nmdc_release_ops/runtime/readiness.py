"""Whether the Runtime is ready for a schema version: it pins the version, its tests passed, its image was built."""

import re
from collections.abc import Iterator, Sequence

from nmdc_release_ops.runtime.check import Check, Outcome
from nmdc_release_ops.schema.version import InvalidSchemaVersion, SchemaVersion
from nmdc_release_ops.services.errors import ServiceError
from nmdc_release_ops.services.repository import Commit, Repository
from nmdc_release_ops.services.workflows import run_on_commit

# In a requirements file, and in uv.lock.
_PINS = (
    # Blanks within a line only: in a file of empty lines, `\s*` would search from each line to the end of the file.
    re.compile(r"^[ \t]*nmdc[-_]schema[ \t]*==[ \t]*([^\s;#\\]{1,64})", re.MULTILINE | re.IGNORECASE),
    re.compile(r'^name = "nmdc-schema"[ \t]*\r?\n[ \t]*version = "([^"\n]{1,64})"', re.MULTILINE),
)
_MOST_PINS = 5
PINS, TESTED, BUILT = "pins the schema version", "its tests passed", "its image was built"


def not_checked(why: str) -> list[Check]:
    """All checks, if none can be made."""
    return [Check(what=what, outcome=Outcome.NOT_CHECKED, says=why) for what in (PINS, TESTED, BUILT)]


def check_readiness(
    repository: Repository, version: SchemaVersion, *, pin_files: Sequence[str], tests: str, images: str
) -> list[Check]:
    """Check the newest commit of the default branch. Raises nothing: a check that GitHub does not answer is "not checked".

    Args:
        pin_files: files that may pin the schema's version; the first one that does so counts.
        tests: file of the workflow that runs the tests.
        images: file of the workflow that builds the image.
    """
    try:
        commit = repository.commit(repository.default_branch())
    except ServiceError as error:
        return not_checked(str(error))
    return [
        _check_pin(repository, commit, version, pin_files),
        _check_run(repository, commit, TESTED, tests),
        _check_run(repository, commit, BUILT, images),
    ]


def _check_pin(repository: Repository, commit: Commit, version: SchemaVersion, files: Sequence[str]) -> Check:
    try:
        for path in files:
            text = repository.file(path, commit.sha)
            pins = sorted(set(_pins(text or "")))
            if text is not None and pins:
                outcome = Outcome.PASSED if [version] == pins else Outcome.FAILED
                shown = ", ".join(str(pin) for pin in pins[:_MOST_PINS])
                return Check(what=PINS, outcome=outcome, says=f"{path} at {commit.sha[:12]} pins {shown}")
    except ServiceError as error:
        return Check(what=PINS, outcome=Outcome.NOT_CHECKED, says=str(error))
    says = f"none of {', '.join(files)} at {commit.sha[:12]} pins it"
    return Check(what=PINS, outcome=Outcome.NOT_CHECKED, says=says)


def _pins(text: str) -> Iterator[SchemaVersion]:
    for pattern in _PINS:
        for match in pattern.finditer(text):
            try:
                yield SchemaVersion.parse(match[1])
            except InvalidSchemaVersion:
                continue


def _check_run(repository: Repository, commit: Commit, what: str, workflow: str) -> Check:
    try:
        run = run_on_commit(repository, workflow, commit)
    except ServiceError as error:
        return Check(what=what, outcome=Outcome.NOT_CHECKED, says=str(error))
    if run is None:
        return Check(what=what, outcome=Outcome.FAILED, says=f"{workflow} never ran on {commit.sha[:12]}")
    outcome = Outcome.PASSED if run.succeeded else Outcome.FAILED
    return Check(what=what, outcome=outcome, says=f"{workflow} on {commit.sha[:12]}: {run.describe()}")
