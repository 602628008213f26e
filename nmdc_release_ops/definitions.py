"""What Dagster loads. Everything is defined elsewhere and assembled here."""

import dagster as dg

from nmdc_release_ops.jobs import data_release, rollback, unfreeze_job
from nmdc_release_ops.resources import (
    OriginResource,
    RecordStore,
    ReleaseHome,
    SchemaReleases,
    SchemaWorker,
    TransformerResource,
)
from nmdc_release_ops.sensors import frozen_origin_watchdog

home = ReleaseHome()

defs = dg.Definitions(
    jobs=[data_release, rollback, unfreeze_job],
    assets=[
        dg.AssetSpec(
            ["nmdc", "database"],
            description="The origin. Each materialization is a release: the database at a version of the schema.",
            kinds={"mongodb"},
        ),
        dg.AssetSpec(
            ["nmdc", "archive"],
            description="Dumps of the origin. Each materialization is the database as it was before a release.",
            kinds={"file"},
        ),
    ],
    sensors=[frozen_origin_watchdog],
    resources={
        "origin": OriginResource(),
        "transformer": TransformerResource(),
        "home": home,
        "schema": SchemaReleases(home=home),
        "worker": SchemaWorker(),
        "io_manager": RecordStore(home=home),
    },
)
