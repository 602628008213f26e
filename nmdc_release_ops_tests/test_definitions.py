"""Dagster loads the project, with the names that other programs rely on."""

from nmdc_release_ops.definitions import defs


def test_the_whole_repository_loads() -> None:
    repository = defs.get_repository_def()
    repository.load_all_definitions()
    assert {"data_release", "unfreeze"} <= set(repository.job_names)


def test_the_steps_of_a_data_release_are_named_as_the_process_is() -> None:
    steps = defs.get_job_def("data_release").graph.node_names()
    assert set(steps) == {"plan", "freeze", "dump", "migrate", "validate", "restore", "unfreeze"}


def test_every_job_and_step_is_described_for_the_run_page() -> None:
    for name in ("data_release", "unfreeze", "runtime_release"):
        job = defs.get_job_def(name)
        assert job.description
        assert all(node.definition.description for node in job.graph.nodes)


def test_only_releases_are_kept_from_running_side_by_side() -> None:
    """The job `unfreeze` has to run when a release hangs."""
    assert "nmdc_release_ops/release" in defs.get_job_def("data_release").tags
    assert "nmdc_release_ops/release" not in defs.get_job_def("unfreeze").tags
