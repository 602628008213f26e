"""The jobs as they are wired where variables of the environment are set: that is decided when their module is loaded."""

import importlib.util
from collections.abc import Mapping
from types import ModuleType

import dagster as dg
import pytest

from nmdc_release_ops import jobs
from nmdc_release_ops.definitions import defs


def load_jobs(environment: Mapping[str, str]) -> ModuleType:
    """The module of the jobs, loaded once more beside the usual one."""
    spec = importlib.util.spec_from_file_location("jobs_wired_otherwise", jobs.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        spec.loader.exec_module(module)
    return module


def wire_job(name: str, environment: Mapping[str, str]) -> dg.JobDefinition:
    """One of them, with the project's resources."""
    wired = dg.Definitions(jobs=[getattr(load_jobs(environment), name)], resources=defs.resources)
    return wired.get_job_def(name)
