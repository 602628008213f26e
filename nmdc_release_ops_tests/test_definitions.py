"""Dagster loads the project, and shows people what each part is for. The names are in test_contract.py."""

from nmdc_release_ops.definitions import defs


def test_the_whole_repository_loads() -> None:
    repository = defs.get_repository_def()
    repository.load_all_definitions()
    assert repository.job_names


def test_every_job_and_step_is_described_for_the_run_page() -> None:
    for name in (
        "data_release",
        "rehearsal",
        "promote",
        "online_release",
        "rollback",
        "runtime_release",
        "unfreeze",
        "audit",
    ):
        job = defs.get_job_def(name)
        assert job.description
        assert all(node.definition.description for node in job.graph.nodes)


def test_only_releases_are_kept_from_running_side_by_side() -> None:
    """The job `unfreeze` has to run when a release hangs."""
    for name in ("data_release", "promote", "online_release", "rollback"):
        assert "nmdc_release_ops/release" in defs.get_job_def(name).tags
    assert "nmdc_release_ops/release" not in defs.get_job_def("rehearsal").tags
    assert "nmdc_release_ops/release" not in defs.get_job_def("unfreeze").tags
