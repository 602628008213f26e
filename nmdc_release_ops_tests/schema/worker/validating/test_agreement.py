"""The fast pass and LinkML's validator give the same verdict on every document, valid or damaged in any way, and the messages
are LinkML's."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import nmdc_release_ops.schema
from nmdc_release_ops.schema.environments.compiled import CompiledSchemas
from nmdc_release_ops.schema.environments.environment import SchemaEnvironments, worker_environment
from nmdc_release_ops.schema.version import SchemaVersion

FOLDER = Path(nmdc_release_ops.schema.__file__).parent
SCRIPT = Path(__file__).with_name("mutated_documents.py")
# What is never sound afterwards, and what hardly is, so that a few thousand documents may show none.
NEVER_SOUND = {"list in a list, or no list", "type that JSON has no word for", "plain value of any type"}


@pytest.mark.parametrize(
    ("version", "comparisons"),
    [
        ("11.25", {"compiled": 800}),
        *(
            pytest.param(version, comparisons, marks=[pytest.mark.faults, pytest.mark.timeout(3_000)])
            for version, comparisons in (
                ("11.0.0", {"compiled": 4_000}),
                ("11.16.1", {"compiled": 4_000}),
                # Also with the rules called as for a release with an unknown plugin.
                ("11.25", {"compiled": 8_000, "called": 400}),
            )
        ),
    ],
)
def test_the_fast_pass_agrees_with_linkml_on_damaged_documents_of_every_class(
    version: str,
    comparisons: dict[str, int],
    schema_cache: Path,
    schema_environments: SchemaEnvironments,
    tmp_path: Path,
) -> None:
    environment = schema_environments.prepare(SchemaVersion.parse(version))
    compiled = CompiledSchemas(schema_cache).prepare(environment)
    start = f"import sys, runpy; sys.path.append({str(FOLDER)!r}); runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    given = [f"{rules}:{documents}" for rules, documents in comparisons.items()]
    done = subprocess.run(
        [environment.python, "-P", "-c", start, compiled, "20", tmp_path, *given],
        env=worker_environment(""),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    compared: list[dict[str, Any]] = json.loads(done.stdout)
    for found, (rules, documents) in zip(compared, comparisons.items(), strict=True):
        assert found["all disagreements"] == 0, found["disagreements"]
        assert found["without a sound document"] == []
        assert len(found["classes"]) > 35
        for damage, verdicts in found["verdicts"].items():
            assert verdicts.get("invalid"), damage
            # With few documents, chance may have it that each was damaged for good.
            assert verdicts.get("valid") or damage in NEVER_SOUND or documents < 2_000, damage
        assert 0 < found["judged by LinkML alone"] < documents / 10
        # Not where the release's rules are called for each document.
        assert (found["accepted by layout"] > 0) is (rules == "compiled")
