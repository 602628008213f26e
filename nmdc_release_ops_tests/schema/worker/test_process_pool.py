"""The process pool of a worker takes items little by little, and retries once what a killed process did not finish."""

import json
import subprocess
from pathlib import Path

import nmdc_release_ops.schema
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, worker_environment

PATHS = [str(Path(nmdc_release_ops.schema.__file__).parent), str(Path(__file__).parent)]
SCRIPT = f"""
import sys
sys.path += {PATHS!r}
from pool_work import main
if __name__ == "__main__":
    main()
"""


def test_items_are_taken_little_by_little_and_what_a_killed_process_did_not_finish_is_retried_once(
    environment: SchemaEnvironment, tmp_path: Path
) -> None:
    command = [environment.python, "-P", "-c", SCRIPT, str(tmp_path)]
    results = json.loads(subprocess.check_output(command, env=worker_environment("")))
    assert results["in order"]
    most, allowed = results["taken ahead at most"]
    assert most <= allowed
    assert results["one killed"]
    least, most = results["done at most twice"]
    assert least == 1
    assert most <= 2
    assert results["continues"] == [0, 2, 4]
    assert "so was the process that retried its work" in results["always killed"]
