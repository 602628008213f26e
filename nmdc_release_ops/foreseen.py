"""The errors that the libraries foresee, whose text says what happened and what to do."""

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.lineage import ArchiveReplaced, CollectionsDisagree, LineageBroken, RehearsalRemoved
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.planning.refusal import PlanRefused
from nmdc_release_ops.resources.environment import ConfigurationInvalid, ConfigurationMissing
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.services.errors import ServiceError

FORESEEN_ANYWHERE: tuple[type[Exception], ...] = (
    MongoError,
    SchemaError,
    ServiceError,
    ConfigurationInvalid,
    ConfigurationMissing,
    FileNotWritten,
    LineageBroken,
    ArchiveReplaced,
    CollectionsDisagree,
    RehearsalRemoved,
    PlanRefused,
)
"""Of everything below the steps that works without Dagster."""


def runbook_entry(error: Exception) -> str:
    """A pointer to the error's entry in the runbook."""
    return f"More: docs/runbook.md, {type(error).__name__}."
