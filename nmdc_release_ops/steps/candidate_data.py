"""Data that a release candidate made: what is left to do for the official release of the same version."""

from nmdc_release_ops.mongo.journal import Journal
from nmdc_release_ops.mongo.released import candidate_release
from nmdc_release_ops.resources import Origin, SchemaReleases
from nmdc_release_ops.schema.candidate import Candidate
from nmdc_release_ops.schema.path import different_migrators
from nmdc_release_ops.schema.shipping import Target
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.steps.failures import PlanRefused


def warn_of_candidate_data(
    origin: Origin, schema: SchemaReleases, from_version: SchemaVersion, target: Target, *, allow: bool
) -> list[str]:
    """Warnings about data that a candidate made; empty where none did, or this very candidate.

    Where the target is the official release of the same version, there is something left to do, although no migrator is
    run: its validation, and the record that the data conform to it.

    Args:
        allow: whether data are taken that the official migrators would perhaps have made otherwise.

    Raises:
        PlanRefused: another candidate of the same version, or official migrators that are not the candidate's.
    """
    made_by = candidate_release(origin.database, str(from_version))
    if made_by is None or made_by.candidate == str(target.release):
        return []
    made = (
        f"The data are at schema {from_version} by release {made_by.release_id} of a release candidate "
        f"({made_by.candidate}, from {made_by.schema_source}), not by the official release."
    )
    if from_version != target.package.version:
        return [f"{made} What the official {from_version} does otherwise, if anything, has not been done."]
    if isinstance(target.release, Candidate):
        raise PlanRefused(
            [
                f"{made} {target.release} is another candidate of the same version, and its migrators are not run on data that "
                "are at that version. Launch `rollback`, and then this release again."
            ]
        )
    different = _different_migrators(schema, made_by, target)
    if different and not allow:
        raise PlanRefused(
            [
                f"{made} Migrators of the official release are not the candidate's, or the candidate is gone and they cannot "
                f"be compared: {', '.join(different)}. They are not run on data at {from_version}. Launch `rollback`, and "
                "then this release again; or, if you know that the data are what the official migrators would have made, "
                "launch again with allow_candidate_data: true."
            ]
        )
    outcome = f"{', '.join(different)} differ from it, which was allowed" if different else "Its migrators are the same"
    return [
        f"{made} This release makes it official: no migrator is run, everything is validated against the official "
        f"{from_version}, and the release is recorded. {outcome}."
    ]


def _different_migrators(schema: SchemaReleases, made_by: Journal, target: Target) -> list[str]:
    candidate = schema.candidate_package(str(made_by.candidate), target.package.version)
    return different_migrators(candidate, target.package, SchemaVersion.parse(made_by.from_version))
