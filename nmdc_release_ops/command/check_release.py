"""`nmdc-release check`: what a release would do, and everything that would stop it."""

import logging
import secrets
from collections.abc import Iterable

from pydantic import ValidationError
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from nmdc_release_ops.command.origin import open_origin
from nmdc_release_ops.command.screen import explaining, fail, grid, screen
from nmdc_release_ops.planning.blocked_time import BlockedTime, predict_blocked
from nmdc_release_ops.planning.release import add_runtime_checks, plan_release
from nmdc_release_ops.records.data_release import Purpose, ReleasePlan
from nmdc_release_ops.resources.github import GitHubResource
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.runtime import DeploymentResource, RuntimeProjectResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.schema.version import InvalidSchemaVersion
from nmdc_release_ops.status.report import name_origin
from nmdc_release_ops.steps.plan import PlanConfig, inspect, make_attempt
from nmdc_release_ops.steps.planning.planned import describe_freeze
from nmdc_release_ops.steps.preparing.preparation import prepare
from nmdc_release_ops.steps.shared.failures import FORESEEN
from nmdc_release_ops.units import size


def check_release(target_version: str, from_version: str | None, *, allow_missing_migrator: bool) -> None:
    """Make all checks of the step `plan` of a `data_release`, and show the plan; end with 1 where something would stop it."""
    console = screen()
    config = _read_options(target_version, from_version, allow_missing_migrator=allow_missing_migrator)
    with explaining(1, FORESEEN), open_origin() as origin:
        console.print(
            Text(f"The origin is the database {name_origin(origin.database.name, origin.uri)}."), soft_wrap=True
        )
        log = _make_log(console)
        home, github = ReleaseHomeResource(), GitHubResource()
        schema = SchemaReleasesResource(home=home)
        transformer = TransformerResource(home=home, origin=OriginResource())
        deployment = DeploymentResource(github=github)
        inspected = inspect(origin, config, Purpose.RELEASE, home, schema, transformer, deployment, log)
        target = inspected.target
        attempt = make_attempt(secrets.token_hex(8), Purpose.RELEASE, inspected.origin, target, home)
        release = plan_release(inspected.origin, target, config.options, attempt)
        if release is None:
            console.print(Text(f"There is nothing to do: the database already conforms to {target.package.version}."))
            return
        checks = RuntimeProjectResource(github=github).check_readiness(target.package.version)
        release = add_runtime_checks(release, checks, required=config.require_runtime_ready)
        release = release.warned(deployment.find_obstacles())
        blocked = predict_blocked(origin.database, release.origin, home.path, release.documents)
        prepare(release, schema, log.info)
    _show(console, release, blocked, inspected.engine)


def _read_options(target_version: str, from_version: str | None, *, allow_missing_migrator: bool) -> PlanConfig:
    try:
        config = PlanConfig(
            target_version=target_version, from_version=from_version, allow_missing_migrator=allow_missing_migrator
        )
        _ = config.wanted_version
    except (InvalidSchemaVersion, ValidationError) as error:
        fail(str(error), 2)
    return config


def _make_log(console: Console) -> logging.Logger:
    """What the checks have to say, on the same screen."""
    log = logging.Logger("check", logging.INFO)
    log.addHandler(RichHandler(console=console, show_time=False, show_path=False, show_level=False, markup=False))
    return log


def _show(console: Console, release: ReleasePlan, blocked: BlockedTime, engine: str) -> None:
    console.print()
    console.print(
        grid(
            [
                ("schema", f"{release.from_version} -> {release.to_version}"),
                (
                    "documents",
                    f"{release.documents:,} in {len(release.collections)} collections, {size(release.bytes)}",
                ),
                ("freezing", describe_freeze(release)),
                ("data_release", f"would block writes for {blocked.release}"),
                ("promotion", f"would block writes for {blocked.promotion}"),
                ("engine", engine),
                ("left alone", ", ".join(release.left_alone) or "nothing"),
            ]
        )
    )
    console.print()
    # Their names say the versions, unless there is a gap.
    has_gap = any(one.gap for one in release.migrators)
    migrators = (
        (one.module, one.environment or "no-op, not run", *([one.gap] if has_gap else [])) for one in release.migrators
    )
    console.print(_table(("migrator", "runs in schema", *(["gap before it"] if has_gap else [])), migrators))
    console.print()
    collections = ((one.name, f"{one.documents:,}", size(one.bytes)) for one in release.collections)
    console.print(_table(("collection", "documents", "size"), collections, right=("documents", "size")))
    if release.runtime:
        console.print()
        runtime = ((check.what, check.outcome.value, check.says) for check in release.runtime)
        console.print(_table(("Runtime", "outcome", "found"), runtime))
    console.print()
    for warning in release.warnings:
        console.print(Text(f"Warning: {warning}", style="yellow"))
    console.print(
        Text(
            f"A release to {release.to_version} can be launched. Nothing was changed, and nobody was kept from writing.",
            style="bold",
        )
    )


def _table(names: Iterable[str], rows: Iterable[tuple[str, ...]], right: Iterable[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
