"""Judging by layout accepts nothing that the judging document by document does not accept, whatever the bytes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import nmdc_release_ops.schema
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, worker_environment

FOLDER = Path(nmdc_release_ops.schema.__file__).parent
SCRIPT = Path(__file__).with_name("judged_by_layout.py")


def judge(environment: SchemaEnvironment, seed: int, damaged: int) -> dict[str, list[Any]]:
    start = f"import sys, runpy; sys.path.append({str(FOLDER)!r}); runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    command = [environment.python, "-P", "-c", start, str(seed), str(damaged)]
    done = subprocess.run(command, env=worker_environment(""), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    results: dict[str, list[Any]] = json.loads(done.stdout)
    return results


def test_nothing_invalid_is_accepted_of_documents_that_are_built_to_fool_it(environment: SchemaEnvironment) -> None:
    results = judge(environment, 1, 20_000)
    assert {kind: wrong for kind, runs in results.items() for _, _, wrong in runs if wrong} == {}
    for kind, runs in results.items():
        assert max(accepted for accepted, _, _ in runs) > 0, f"{kind}: the sound documents among them are accepted"
    assert all(accepted == documents for accepted, documents, _ in results["sound"])
    for kind in ("keys in another order", "empty texts", "numbers", "integers of two sizes beside numbers"):
        assert results[kind][0][0] > 0, f"{kind}: the valid ones are accepted"
    for kind in (
        "a rule across fields",
        "an additional field",
        "no type",
        "a required field is missing",
        "the type twice",
    ):
        assert results[kind][0][0] == 0, kind


@pytest.mark.faults
@pytest.mark.timeout(1_200)
def test_nothing_invalid_is_accepted_of_very_many_damaged_documents(environment: SchemaEnvironment) -> None:
    ((accepted, documents, wrong),) = judge(environment, 2, 400_000)["damaged"]
    assert wrong == []
    assert documents / 5 < accepted < documents
