"""Runs `data_release` in this process and waits, when its plan is made, for another: see `test_two_releases`.

`python -m nmdc_release_ops_tests.steps.waiting_run FOLDER NAME`: leaves `waiting-NAME` in the folder when it is about to
freeze the origin, and goes on when there is `go`.
"""

import sys
import time
from pathlib import Path

import dagster as dg

from nmdc_release_ops_tests.fault_point import Point, at
from nmdc_release_ops_tests.prepared_release import CONFIG, data_release


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]

    def wait() -> None:
        (folder / f"waiting-{name}").touch()
        while not (folder / "go").exists():
            time.sleep(0.001)

    with dg.DagsterInstance.get() as instance, at(Point("freeze", "aggregate", "before"), instance, wait):
        dg.execute_job(dg.reconstructable(data_release), instance=instance, run_config=CONFIG, raise_on_error=False)


if __name__ == "__main__":
    main()
