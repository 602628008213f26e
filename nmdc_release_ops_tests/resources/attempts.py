"""Plans of releases, and the files that attempts at them leave in the home."""

from nmdc_release_ops.mongo.archive.manifest import Engine, Manifest, write_manifest
from nmdc_release_ops.mongo.server.clock import ClusterTime, now
from nmdc_release_ops.mongo.server.identity import ServerIdentity
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.release_home import ReleaseHomeResource

ORIGIN = ServerIdentity(set_name="rs0", set_id="6b0612a20cd9172b63e62514", members=("mongo:27017",))


def plan(day: int, origin: ServerIdentity | None = ORIGIN, database: str = "nmdc") -> ReleasePlan:
    return ReleasePlan(
        release_id=f"202601{day:02}T000000Z-1.0.0-to-1.1.0-abcdef{day:02}",
        run_id=f"abcdef{day:02}",
        database=database,
        server="MongoDB",
        origin=origin,
        strategy=Strategy.WRITE_BLOCK,
        strategy_reason="",
        drain_timeout=1,
        keep_archives=1,
        recorded_version=None,
        managed=[],
        from_version="1.0.0",
        to_version="1.1.0",
        target="1.1.0",
        described_by="1.0.0",
        hop_timeout=1,
        migrators=[],
        collections=[],
        left_alone=[],
        warnings=[],
    )


def attempt(home: ReleaseHomeResource, planned: ReleasePlan, *, dumped: int | None) -> str:
    """Files of an attempt at a release. dumped: the cluster time of its archive, None where it has none."""
    (home.attempt(planned, planned.run_id) / "validation.html").write_text("a report")
    (home.transformer(planned) / "data").mkdir(parents=True)
    if dumped is None:
        (home.release(planned) / "archive.partial").mkdir()
    else:
        home.archive(planned).mkdir()
        (home.archive(planned) / "large.bson.gz").write_bytes(bytes(100_000))
        write_manifest(
            home.archive(planned),
            Manifest(
                release_id=planned.release_id,
                engine=Engine.NATIVE,
                database=planned.database,
                server_version="6.0.5",
                cluster_time=ClusterTime(seconds=dumped, increment=1),
                created_at=now(),
                collections=[],
            ),
        )
    return planned.release_id
