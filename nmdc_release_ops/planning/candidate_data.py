"""Data that a release candidate made, and the official release of the same version."""

from pathlib import Path

from nmdc_release_ops.mongo.state.journal import Journal
from nmdc_release_ops.planning.origin import PlannedOrigin
from nmdc_release_ops.planning.refusal import PlanRefused
from nmdc_release_ops.schema.packages.candidate import Candidate, package_of
from nmdc_release_ops.schema.path import different_migrators
from nmdc_release_ops.schema.shipping import Target
from nmdc_release_ops.schema.version import SchemaVersion


def warn_of_candidate_data(origin: PlannedOrigin, target: Target, schema_folder: Path, *, allow: bool) -> list[str]:
    """Warnings about data that a candidate made; empty if none did, or if the target is the same candidate.

    If the target is the official release of the same version, the release still validates the data and records that they
    conform to it, although no migrator is run.

    Args:
        schema_folder: where packages of candidates are kept.
        allow: accept data although the official migrators differ from the candidate's.

    Raises:
        PlanRefused: the target is another candidate of the same version, or the official migrators differ.
    """
    made_by = origin.history.candidate_release(str(origin.version))
    if made_by is None or made_by.candidate == str(target.release):
        return []
    made = (
        f"Release {made_by.release_id} brought the data to schema {origin.version} with a release candidate "
        f"({made_by.candidate}, from {made_by.schema_source}), not with the official release."
    )
    if origin.version != target.package.version:
        return [f"{made} If the migrators of the official {origin.version} differ, their changes are missing."]
    if isinstance(target.release, Candidate):
        raise PlanRefused(
            [
                f"{made} {target.release} is another candidate of the same version. Its migrators cannot run on data at that "
                "version. Launch `rollback`, and then this release again."
            ]
        )
    different = _find_different_migrators(made_by, target, schema_folder)
    if different and not allow:
        raise PlanRefused(
            [
                f"{made} Migrators of the official release differ from the candidate's, or the candidate was removed and "
                f"they cannot be compared: {', '.join(different)}. They cannot run on data at {origin.version}. Launch "
                "`rollback`, and then this release again; or, if you know that the official migrators would have "
                "produced the same data, "
                "launch again with allow_candidate_data: true."
            ]
        )
    outcome = f"{', '.join(different)} differ, which was allowed" if different else "Its migrators are the same"
    return [
        f"{made} This release makes it official: no migrator is run, everything is validated against the official "
        f"{origin.version}, and the release is recorded. {outcome}."
    ]


def _find_different_migrators(made_by: Journal, target: Target, schema_folder: Path) -> list[str]:
    candidate = package_of(schema_folder, str(made_by.candidate), target.package.version)
    return different_migrators(candidate, target.package, SchemaVersion.parse(made_by.from_version))
