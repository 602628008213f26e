"""The names that other programs and people rely on: jobs, steps, sensors, resource keys, make targets, environment variables.

What DESIGN.md plans and nobody has built yet is added here by whoever builds it.
"""

import importlib.metadata
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from nmdc_release_ops.command.main import app
from nmdc_release_ops.definitions import defs
from nmdc_release_ops.jobs import HOOKS
from nmdc_release_ops.resources.environment import Settings
from nmdc_release_ops.status.metrics import HELP, METRICS, PREFIX

ROOT = Path(__file__).parent.parent

PROMOTING = ("catch_up", "freeze", "reconcile", "restore", "unfreeze")
STEPS = {
    "data_release": {"plan", "freeze", "dump", "migrate", "validate", "restore", "unfreeze"},
    "rehearsal": {"plan", "dump", "migrate", "validate"},
    "promote": {"choose", *PROMOTING},
    "online_release": {"plan", "dump", "migrate", "validate", *PROMOTING},
    "rollback": {"roll_back"},
    "runtime_release": {"plan", "require_tests", "publish", "follow_workflows", "deploy"},
    "check": {"plan"},
    "status": {"report_status"},
    "audit": {"audit_origin"},
    "unfreeze": {"unfreeze_by_hand"},
}
SENSORS = {"failure_notice", "frozen_origin_watchdog", "schema_release_sensor"}
SCHEDULES = {"nightly_audit"}
RESOURCES = {
    *("origin", "transformer", "home", "schema", "worker", "github", "runtime", "deployment", "schema_watch"),
    *("notices", "io_manager", "kept_open"),
}
ASSETS = {("nmdc", name) for name in ("schema_release", "archive", "rehearsal", "database")}
CHECKS = {"conforms_to_schema", "references_resolve", "ids_unique", "ledger_agrees", "writes_allowed"}
MAKE_TARGETS = {"setup", "demo", "ui", "test", "test-faults", "test-browser", "lint", "bench"}
# The first ones are DESIGN.md's, and their defaults with them; None where there is none.
VARIABLES = {
    "NMDC_ORIGIN_URI": None,
    "NMDC_ORIGIN_DB": "nmdc",
    "NMDC_AUDIT_DOCUMENTS_PER_SECOND": None,
    "NMDC_TRANSFORMER_URI": None,
    "NMDC_RELEASE_HOME": "~/.local/state/nmdc-release-ops",
    "NMDC_GITHUB_API": "https://api.github.com",
    "GITHUB_TOKEN": None,
    "NMDC_SCHEMA_REPOSITORY": "microbiomedata/nmdc-schema",
    "NMDC_ON_NEW_RELEASE": "notify",
    "NMDC_INCLUDE_PRERELEASES": "false",
    "NMDC_SCHEMA_POLL_SECONDS": "300",
    "NMDC_RUNTIME_REPOSITORY": "microbiomedata/nmdc-runtime",
    "NMDC_RUNTIME_TESTS_WORKFLOW": "python-app.yml",
    "NMDC_RUNTIME_IMAGES_WORKFLOW": "build-and-push-docker-images.yml",
    "NMDC_RUNTIME_RELEASE_WORKFLOWS": "build-and-push-docker-images.yml,release-to-pypi.yml",
    "NMDC_RUNTIME_PIN_FILES": "uv.lock,requirements/main.txt",
    "NMDC_DEPLOY_WORKFLOWS": None,
    "NMDC_RANCHER_URL": None,
    "NMDC_RANCHER_CONTEXT": None,
    "NMDC_RANCHER_NAMESPACE": None,
    "NMDC_RANCHER_TOKEN": None,
    "NMDC_RANCHER_DEPLOYMENTS": "runtime-api,dagster-dagit,dagster-daemon",
    "NMDC_RUNTIME_URL": None,
    "NMDC_RUNTIME_DAGSTER_URL": None,
    "NMDC_NOTICE_WEBHOOK": None,
    "NMDC_REPORTS_URL": None,
}
# Read where a mongod is started, and by Dagster; see `resources.environment`.
READ_ELSEWHERE = {"MONGOD", "DAGSTER_HOME"}


def test_the_jobs_and_their_steps() -> None:
    jobs = {job.name: set(job.graph.node_names()) for job in defs.get_repository_def().get_all_jobs()}
    assert {name: steps for name, steps in jobs.items() if not name.startswith("__")} == STEPS


def test_the_sensors_and_schedules() -> None:
    repository = defs.get_repository_def()
    assert {sensor.name for sensor in repository.sensor_defs} == SENSORS
    assert {schedule.name for schedule in repository.schedule_defs} == SCHEDULES


def test_the_resource_keys_and_assets() -> None:
    assert set(defs.resources or {}) == RESOURCES
    assert {tuple(spec.key.path) for spec in defs.resolve_all_asset_specs()} == ASSETS


def test_the_checks_of_the_database() -> None:
    keys = defs.resolve_asset_graph().asset_check_keys
    assert {(*key.asset_key.path, key.name) for key in keys} == {("nmdc", "database", name) for name in CHECKS}


def test_the_nightly_audit_is_off_until_it_is_turned_on() -> None:
    (schedule,) = defs.get_repository_def().schedule_defs
    assert schedule.job_name == "audit"
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize("job", sorted(STEPS))
def test_every_job_can_be_launched_without_config(job: str) -> None:
    assert dg.validate_run_config(defs.get_job_def(job), {})


def test_the_options_of_a_data_release_and_their_defaults() -> None:
    config: Any = defs.get_job_def("data_release").get_node_named("plan").definition
    options = config.config_schema.config_type.fields
    defaults = {name: field.default_value if field.default_provided else None for name, field in options.items()}
    assert {name: defaults[name] for name in ("target_version", "from_version", "allow_missing_migrator")} == {
        "target_version": "latest",
        "from_version": None,
        "allow_missing_migrator": False,
    }
    assert not any(field.is_required for field in options.values())


def test_the_options_of_a_promotion_and_their_defaults() -> None:
    config: Any = defs.get_job_def("promote").get_node_named("choose").definition
    options = config.config_schema.config_type.fields
    defaults = {name: field.default_value if field.default_provided else None for name, field in options.items()}
    assert defaults == {
        "rehearsal": None,
        "max_frozen_seconds": 30,
        "strategy": "automatic",
        "drain_timeout": 60,
        "keep_archives": 5,
        "allow_without_watchdog": False,
    }
    assert not any(field.is_required for field in options.values())


@pytest.mark.parametrize("job", ["data_release", "promote", "online_release", "rollback"])
def test_a_job_that_freezes_never_leaves_the_origin_frozen(job: str) -> None:
    assert {hook.name for hook in defs.get_job_def(job).hook_defs} == {hook.name for hook in HOOKS}


def test_the_command_and_its_subcommands() -> None:
    command: Any = typer.main.get_command(app)
    archives: Any = command.commands["archives"]
    assert set(command.commands) == {"status", "check", "archives"}
    assert set(archives.commands) == {"list", "verify", "commands"}
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="nmdc-release")
    assert entry.value == "nmdc_release_ops.command.main:main"


def test_the_file_of_metrics_and_its_names() -> None:
    assert METRICS == "metrics-{origin}.prom"
    assert {f"{PREFIX}{name}" for name in HELP} >= {
        "nmdc_release_writes_blocked",
        "nmdc_release_frozen_since_timestamp_seconds",
        "nmdc_release_heartbeat_timestamp_seconds",
        "nmdc_release_step_failed",
        "nmdc_release_home_free_bytes",
        "nmdc_release_oplog_left_seconds",
    }


def test_the_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, flags=re.MULTILINE)
    assert targets >= MAKE_TARGETS
    assert set(phony.split()) == targets
    for target in ("demo", "test"):
        assert re.search(rf"^{target}: setup\b", makefile, flags=re.MULTILINE)


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Every environment variable that the code reads, with the field that holds it."""
    for settings in Settings.__subclasses__():
        for field in settings.model_fields.values():
            yield str(field.validation_alias), field


def default(field: FieldInfo) -> str | None:
    """As it is written in the environment."""
    value = field.default
    if value is None or isinstance(value, Enum):
        return value and str(value.value)
    if isinstance(value, list):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def documented(page: str) -> dict[str, tuple[str, str]]:
    """Default and meaning of each variable that has a row of its own on a page."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \| (.*) \|$", (ROOT / "docs" / page).read_text(), flags=re.MULTILINE)
    return {name: (given, meaning) for name, given, meaning in rows}


def test_the_environment_variables_and_their_defaults() -> None:
    assert {name: default(field) for name, field in fields()} == VARIABLES


def test_every_environment_variable_is_on_the_deployment_page_and_the_other_way_round() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    section = page.partition("\n## Environment\n")[2].partition("\nThe compose stack")[0]
    names = set(re.findall(r"`((?:NMDC|GITHUB|DAGSTER)_[A-Z_]+|MONGOD)`", section))
    assert names == {name for name, _ in fields()} | READ_ELSEWHERE


def test_every_environment_variable_has_a_row_of_its_own_with_its_default() -> None:
    rows = {**documented("automation.md"), **documented("deployment.md")}
    for name, field in fields():
        given, _ = rows[name]
        value = default(field)
        assert given.startswith(f"`{value}`") if value else not given.startswith("`"), name


@pytest.mark.parametrize("page", ["automation.md", "deployment.md"])
def test_the_secrets_are_marked_as_such_and_nothing_else_is(page: str) -> None:
    rows = documented(page)
    for name, field in fields():
        if name in rows:
            is_secret = SecretStr in getattr(field.annotation, "__args__", ())
            assert ("**secret**" in rows[name][1]) is is_secret, name


def test_the_ui_shows_which_variables_configure_a_resource() -> None:
    described = " ".join(str(type(resource).__doc__) for resource in (defs.resources or {}).values())
    assert [name for name, _ in fields() if f"`{name}`" not in described] == []
