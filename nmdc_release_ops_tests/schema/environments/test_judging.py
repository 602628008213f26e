"""A verdict is only used again where the same schema, packages and code would judge."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from nmdc_release_ops.schema.environments import judging
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops.schema.environments.judging import WORKER, digest_judging
from nmdc_release_ops.schema.version import SchemaVersion


def test_the_digest_differs_with_everything_that_a_verdict_depends_on_and_with_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, compiled, configuration = tmp_path / "worker", tmp_path / "compiled.json", tmp_path / "pyvenv.cfg"
    shutil.copytree(WORKER, code)
    monkeypatch.setattr(judging, "WORKER", code)
    compiled.write_text("{}")
    configuration.write_text("version_info = 3.11.7")
    packages = {"nmdc-schema": "11.25", "linkml": "1.12.1"}
    environment = SchemaEnvironment(SchemaVersion.parse("11.25"), tmp_path, packages)
    first = digest_judging(environment, compiled)
    (code / "migrating" / "adapter.py").write_text("")
    assert digest_judging(environment, compiled) == first
    seen = {first}
    for path in (code / "validating" / "violations.py", code / "compiling" / "plugin.py", compiled, configuration):
        path.write_text(path.read_text() + "\n# changed")
        seen.add(digest_judging(environment, compiled))
    other = dataclasses.replace(environment, packages={**packages, "linkml": "1.12.2"})
    seen.add(digest_judging(other, compiled))
    seen.add(digest_judging(dataclasses.replace(environment, release=SchemaVersion.parse("11.24")), compiled))
    assert len(seen) == 7
