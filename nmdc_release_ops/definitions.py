"""What Dagster loads: assembled here, defined elsewhere."""

import dagster as dg

from nmdc_release_ops.jobs import (
    check,
    data_release,
    online_release,
    promote,
    rehearsal,
    rollback,
    runtime_release,
    status,
    unfreeze_job,
)
from nmdc_release_ops.resources.environment import OnNewRelease
from nmdc_release_ops.resources.github import GitHubResource, SchemaWatchResource
from nmdc_release_ops.resources.kept_open import KeptOpenResource
from nmdc_release_ops.resources.notices import NoticesResource
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.record_store import RecordStore
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.runtime import DeploymentResource, RuntimeProjectResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.sensors.failure_notice import failure_notice
from nmdc_release_ops.sensors.frozen_origin_watchdog import frozen_origin_watchdog
from nmdc_release_ops.sensors.schema_release import build_schema_release_sensor

home = ReleaseHomeResource()
origin = OriginResource()
github = GitHubResource()

defs = dg.Definitions(
    jobs=[data_release, rehearsal, promote, online_release, rollback, check, status, unfreeze_job, runtime_release],
    assets=[
        dg.AssetSpec(
            ["nmdc", "database"],
            description="The origin. Each materialization is a release: the database at a version of the schema.",
            kinds={"mongodb"},
        ),
        dg.AssetSpec(
            ["nmdc", "rehearsal"],
            description="Rehearsals. Each materialization is what a release would have done to the database.",
            kinds={"mongodb"},
        ),
        dg.AssetSpec(
            ["nmdc", "archive"],
            description="Dumps of the origin. Each materialization is the state of the database before a release.",
            kinds={"file"},
        ),
    ],
    sensors=[
        frozen_origin_watchdog,
        failure_notice,
        build_schema_release_sensor(
            {
                OnNewRelease.RELEASE: data_release,
                OnNewRelease.REHEARSAL: rehearsal,
                OnNewRelease.ONLINE_RELEASE: online_release,
            },
            SchemaWatchResource().seconds_between_ticks,
        ),
    ],
    resources={
        "origin": origin,
        "transformer": TransformerResource(home=home, origin=origin),
        "home": home,
        "schema": SchemaReleasesResource(home=home),
        "worker": SchemaWorkerResource(),
        "kept_open": KeptOpenResource(),
        "github": github,
        "runtime": RuntimeProjectResource(github=github),
        "deployment": DeploymentResource(github=github),
        "schema_watch": SchemaWatchResource(),
        "notices": NoticesResource(),
        "io_manager": RecordStore(home=home),
    },
)
