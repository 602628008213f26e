"""Whoever meets an error finds it in the runbook, with the state of the origin and the action to take."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import nmdc_release_ops
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.services.errors import ServiceError
from nmdc_release_ops.steps.shared.failures import FORESEEN, StepError

RUNBOOK = Path(__file__).parent.parent / "docs" / "runbook.md"
FAMILIES = {MongoError, SchemaError, ServiceError, StepError}


def errors() -> set[str]:
    """The names of all errors that an operator can meet."""
    for module in pkgutil.walk_packages(nmdc_release_ops.__path__, "nmdc_release_ops."):
        if ".worker" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = set(FORESEEN) - FAMILIES
    waiting: list[type[BaseException]] = list(FORESEEN)
    while waiting:
        kinds = [kind for kind in waiting.pop().__subclasses__() if kind.__module__.startswith("nmdc_release_ops.")]
        found.update(kinds)
        waiting += kinds
    return {kind.__name__ for kind in found if kind not in FAMILIES}


def entries() -> dict[str, str]:
    """Each entry of the runbook, by its name."""
    _, _, text = RUNBOOK.read_text().partition("\n## Entries\n")
    parts = re.split(r"^### (\w+)\n", text.partition("\n## ")[0], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_error_has_its_entry_and_every_entry_its_error() -> None:
    assert set(entries()) == errors()


def test_entries_are_in_order() -> None:
    assert list(entries()) == sorted(entries())


@pytest.mark.parametrize("name", sorted(entries()))
def test_an_entry_says_the_state_of_the_origin_and_what_to_do(name: str) -> None:
    assert "\n*Origin:* " in entries()[name]
    assert "\n*Do:* " in entries()[name]


def test_the_guarantees_name_tests_that_there_are() -> None:
    tests = Path(__file__).parent
    named = re.findall(r"`((?:\w+/)*test_\w+\.py)`", (RUNBOOK.parent / "guarantees.md").read_text())
    assert len(named) > 10
    assert [name for name in named if not (tests / name).is_file()] == []
