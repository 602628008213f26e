"""The asset catalog: what releases read and make, how it depends on each other, and which checks the database has.

Everything that is recorded there carries numbers under the same labels, so that Dagster's *Plots* show trends over releases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

SCHEMA_RELEASE = dg.AssetKey(["nmdc", "schema_release"])
REHEARSAL = dg.AssetKey(["nmdc", "rehearsal"])
ARCHIVE = dg.AssetKey(["nmdc", "archive"])
DATABASE = dg.AssetKey(["nmdc", "database"])

CONFORMS_TO_SCHEMA = "conforms_to_schema"
REFERENCES_RESOLVE = "references_resolve"
IDS_UNIQUE = "ids_unique"
LEDGER_AGREES = "ledger_agrees"
WRITES_ALLOWED = "writes_allowed"

_GROUP = "nmdc"
_SCHEMA_TEAM = "team:nmdc-schema"
_OPERATORS = "team:nmdc-operators"

Shown = Mapping[str, "dg.RawMetadataValue"]

ASSETS: Sequence[dg.AssetSpec] = (
    dg.AssetSpec(
        SCHEMA_RELEASE,
        group_name=_GROUP,
        description="What the schema project has published: the newest version of the NMDC Schema. Observed by the step `plan`, "
        "and by `schema_release_sensor` where it is on.",
        owners=[_SCHEMA_TEAM],
        kinds={"github", "pypi"},
    ),
    dg.AssetSpec(
        ARCHIVE,
        group_name=_GROUP,
        description="Dumps of the database. Each materialization is its state before a release or a rehearsal.",
        owners=[_OPERATORS],
        kinds={"file"},
    ),
    dg.AssetSpec(
        REHEARSAL,
        group_name=_GROUP,
        deps=[SCHEMA_RELEASE, ARCHIVE],
        description="Rehearsals. Each materialization is what a release would have done to the database.",
        owners=[_OPERATORS],
        kinds={"mongodb", "python"},
    ),
    dg.AssetSpec(
        DATABASE,
        group_name=_GROUP,
        deps=[SCHEMA_RELEASE, ARCHIVE, REHEARSAL],
        description="The origin. Each materialization is a release or a rollback: the database at a version of the schema. Each "
        "observation is an audit: the database as it was, while people work.",
        owners=[_OPERATORS],
        kinds={"mongodb"},
    ),
)


@dataclass(frozen=True)
class Numbers:
    """What is plotted; None where it is not known.

    Attributes:
        bytes: of BSON.
        documents_changed: changed, added and removed by migrators.
        violations: of the schema, and between documents.
        seconds_blocked: how long writes were blocked.
        seconds_of: that each step took, by its name.
    """

    documents: int | None = None
    bytes: int | None = None
    documents_changed: int | None = None
    violations: int | None = None
    seconds_blocked: float | None = None
    seconds_of: Mapping[str, float] = field(default_factory=dict)

    def label(self) -> dict[str, "dg.RawMetadataValue"]:
        """Those that are known, by the label under which they are plotted."""
        known: dict[str, int | float | None] = {
            "documents": self.documents,
            "bytes": self.bytes,
            "documents changed": self.documents_changed,
            "violations": self.violations,
            "writes blocked (s)": None if self.seconds_blocked is None else round(self.seconds_blocked, 3),
            **{f"{step} (s)": round(seconds, 3) for step, seconds in self.seconds_of.items()},
        }
        return {label: number for label, number in known.items() if number is not None}


def materialize(
    asset: dg.AssetKey, schema_version: str, description: str, numbers: Numbers, shown: Shown
) -> dg.AssetMaterialization:
    """A new state of an asset.

    Args:
        schema_version: that the data conform to, or would conform to.
        shown: what people want to know besides the numbers.
    """
    return dg.AssetMaterialization(asset, **_describe(schema_version, description, numbers, shown))


def observe(
    asset: dg.AssetKey, schema_version: str, description: str, numbers: Numbers, shown: Shown
) -> dg.AssetObservation:
    """What an asset was found to be. Arguments as `materialize`."""
    return dg.AssetObservation(asset, **_describe(schema_version, description, numbers, shown))


def _describe(schema_version: str, description: str, numbers: Numbers, shown: Shown) -> dict[str, Any]:
    return {
        "description": description,
        "metadata": {"schema version": schema_version, **shown, **numbers.label()},
        "tags": {"schema_version": schema_version},
    }


def observe_schema_release(newest: str, shown: Shown) -> dg.AssetObservation:
    """The newest schema release that was found.

    Args:
        newest: its version.
        shown: what people want to know besides.
    """
    return observe(SCHEMA_RELEASE, newest, f"The newest schema release is {newest}", Numbers(), shown)


@dataclass(frozen=True)
class Finding:
    """The result of one check of the database.

    Attributes:
        check: its name.
        says: a sentence for people.
        is_severe: whether what it found is an error, and not only something to know of; only matters if it did not pass.
    """

    check: str
    passed: bool
    says: str
    shown: Shown = field(default_factory=dict)
    is_severe: bool = True

    def evaluation(self) -> dg.AssetCheckEvaluation:
        """For the log of a job that checked the database among other things."""
        return dg.AssetCheckEvaluation(**self._describe())

    def result(self) -> dg.AssetCheckResult:
        """For a check that was executed by itself."""
        return dg.AssetCheckResult(**self._describe())

    def _describe(self) -> dict[str, Any]:
        return {
            "asset_key": DATABASE,
            "check_name": self.check,
            "passed": self.passed,
            "metadata": dict(self.shown),
            "severity": dg.AssetCheckSeverity.ERROR if self.is_severe else dg.AssetCheckSeverity.WARN,
            "description": self.says,
        }
