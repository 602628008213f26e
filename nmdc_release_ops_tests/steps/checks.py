"""Executes the checks of the asset catalog as the UI does, and reads what runs recorded of them."""

import dagster as dg

from nmdc_release_ops.catalog import DATABASE
from nmdc_release_ops.definitions import defs
from nmdc_release_ops_tests.workplace import Workplace, failure_of


def evaluations(workplace: Workplace, run_id: str) -> dict[str, dg.AssetCheckEvaluation]:
    """The results of checks that a run recorded, by name; all of them are of checks that the UI shows."""
    defined = {key.name for key in defs.resolve_asset_graph().asset_check_keys}
    found = [
        entry.dagster_event.asset_check_evaluation_data
        for entry in workplace.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        if entry.dagster_event
    ]
    assert {one.asset_key for one in found} <= {DATABASE}
    assert {one.check_name for one in found} <= defined
    return {one.check_name: one for one in found}


def execute_checks(workplace: Workplace, *names: str) -> dict[str, dg.AssetCheckEvaluation]:
    """Execute checks of the database; return their results."""
    keys = {dg.AssetCheckKey(DATABASE, name) for name in names}
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.get_subset(asset_selection=set(), asset_check_selection=keys).execute_in_process(
        instance=workplace.instance, raise_on_error=False
    )
    assert result.success, failure_of(result)
    return evaluations(workplace, result.run_id)
