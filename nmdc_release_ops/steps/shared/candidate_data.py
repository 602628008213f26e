"""Data that a release candidate made, and the official release of the same version."""

from nmdc_release_ops.mongo.state.journal import Journal
from nmdc_release_ops.mongo.swapping.released import candidate_release
from nmdc_release_ops.resources.origin import Origin
from nmdc_release_ops.resources.schema import SchemaReleases
from nmdc_release_ops.schema.packages.candidate import Candidate
from nmdc_release_ops.schema.path import different_migrators
from nmdc_release_ops.schema.shipping import Target
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.steps.shared.failures import PlanRefused


def warn_of_candidate_data(
    origin: Origin, schema: SchemaReleases, from_version: SchemaVersion, target: Target, *, allow: bool
) -> list[str]:
    """Warnings about data that a candidate made; empty where none did, or where the target is the same candidate.

    If the target is the official release of the same version, the release still validates the data and records that they
    conform to it, although no migrator is run.

    Args:
        allow: accept data although the official migrators differ from the candidate's.

    Raises:
        PlanRefused: the target is another candidate of the same version, or the official migrators differ.
    """
    made_by = candidate_release(origin.database, str(from_version))
    if made_by is None or made_by.candidate == str(target.release):
        return []
    made = (
        f"Release {made_by.release_id} brought the data to schema {from_version} with a release candidate "
        f"({made_by.candidate}, from {made_by.schema_source}), not with the official release."
    )
    if from_version != target.package.version:
        return [f"{made} If the migrators of the official {from_version} differ, their changes are missing."]
    if isinstance(target.release, Candidate):
        raise PlanRefused(
            [
                f"{made} {target.release} is another candidate of the same version. Its migrators cannot run on data at that "
                "version. Launch `rollback`, and then this release again."
            ]
        )
    different = _different_migrators(schema, made_by, target)
    if different and not allow:
        raise PlanRefused(
            [
                f"{made} Migrators of the official release differ from the candidate's, or the candidate is gone and they cannot "
                f"be compared: {', '.join(different)}. They cannot run on data at {from_version}. Launch `rollback`, and "
                "then this release again; or, if you know that the data are what the official migrators would have made, "
                "launch again with allow_candidate_data: true."
            ]
        )
    outcome = f"{', '.join(different)} differ, which was allowed" if different else "Its migrators are the same"
    return [
        f"{made} This release makes it official: no migrator is run, everything is validated against the official "
        f"{from_version}, and the release is recorded. {outcome}."
    ]


def _different_migrators(schema: SchemaReleases, made_by: Journal, target: Target) -> list[str]:
    candidate = schema.candidate_package(str(made_by.candidate), target.package.version)
    return different_migrators(candidate, target.package, SchemaVersion.parse(made_by.from_version))
