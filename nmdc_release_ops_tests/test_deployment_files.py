"""What the deployment files promise. Docker is not needed: this checks the files, not running containers."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInvalidConfigError
from dagster._core.instance.config import ConcurrencyConfig, dagster_instance_config
from dagster._core.run_coordinator import QueuedRunCoordinator

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.resources.environment import Settings

ROOT = Path(__file__).parent.parent
COMPOSE_FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "docker" / "Dockerfile"
ENV_EXAMPLE = ROOT / "docker" / "env.example"

SECRET_NAME = re.compile(r"PASSWORD|TOKEN|SECRET|_URI$|_KEY$")


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
    return loaded


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def variables_of_the_compose_file() -> set[str]:
    """What the compose file takes from the env file: `${NAME...}`, and names passed through without a value."""
    interpolated = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE_FILE.read_text()))
    passed_through = {
        name
        for service in services().values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }
    return interpolated | passed_through


def variables_of_the_example() -> dict[str, str]:
    """Also those that are commented out, because they are optional."""
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", ENV_EXAMPLE.read_text(), flags=re.MULTILINE))


def stages() -> list[str]:
    return re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), flags=re.MULTILINE)


def test_the_compose_file_conforms_to_the_compose_specification() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    checked = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", COMPOSE_FILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_only_the_webserver_is_published_and_only_on_the_loopback_address() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert published == {"webserver": ["127.0.0.1:3000:3000"]}
    assert not any("network_mode" in service for service in services().values())


def test_no_secret_stands_in_the_compose_file() -> None:
    secrets = [
        (name, value)
        for service in services().values()
        for name, value in service.get("environment", {}).items()
        if SECRET_NAME.search(name)
    ]
    assert secrets
    for name, value in secrets:
        # Only a reference to the env file, with no default but the empty one.
        assert value is None or re.fullmatch(r"\$\{[A-Z_]+(:-|:\?[^}]*)\}", value), name


def test_no_secret_stands_in_the_image_or_in_a_process_argument() -> None:
    dockerfile = DOCKERFILE.read_text()
    assert not [name for name in re.findall(r"\b([A-Z_]{3,})=", dockerfile) if SECRET_NAME.search(name)]
    assert "ARG " not in dockerfile
    for service in services().values():
        for argument in [*service.get("command", []), *service.get("entrypoint", [])]:
            assert "$" not in argument


def test_only_the_code_server_knows_the_origin() -> None:
    knowing = {name for name, service in services().items() if "NMDC_ORIGIN_URI" in service.get("environment", {})}
    assert knowing == {"code"}


def test_the_code_server_gets_every_variable_that_the_code_reads() -> None:
    read = {str(field.validation_alias) for one in Settings.__subclasses__() for field in one.model_fields.values()}
    in_the_image = set(re.findall(r"\b(NMDC_[A-Z_]+)=", DOCKERFILE.read_text()))
    given = {name for name in services()["code"]["environment"] if not name.startswith("DAGSTER_")}
    assert given | in_the_image == read


def test_every_variable_of_the_compose_file_is_in_the_example_and_the_other_way_round() -> None:
    of_compose_itself = {name for name in variables_of_the_example() if name.startswith("COMPOSE_")}
    assert variables_of_the_compose_file() == set(variables_of_the_example()) - of_compose_itself


def test_the_example_has_a_value_for_every_secret_and_says_that_it_is_an_example() -> None:
    secrets = {name: value for name, value in variables_of_the_example().items() if SECRET_NAME.search(name)}
    assert secrets
    for name, value in secrets.items():
        assert "example" in value or "${NMDC_OPERATOR_PASSWORD}" in value, name


def test_every_profile_in_the_example_exists() -> None:
    profiles = {profile for service in services().values() for profile in service.get("profiles", [])}
    assert set(variables_of_the_example()["COMPOSE_PROFILES"].split(",")) <= profiles


def test_every_variable_is_explained_on_the_deployment_page() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    assert not [name for name in variables_of_the_example() if f"`{name}`" not in page]


def test_every_image_is_pinned_by_its_version() -> None:
    images = [service["image"] for service in services().values()] + stages()
    assert images
    for image in images:
        assert re.search(r":\d+\.\d+", image), image


def test_our_image_is_tagged_with_the_version_of_the_project_and_shared_by_its_three_services() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    ours = {name for name, service in services().items() if service["image"] == f"nmdc-release-ops:{version}"}
    assert ours == {"code", "webserver", "daemon"}


def test_the_database_tools_and_the_transformer_have_the_version_of_the_origin() -> None:
    servers = {service["image"] for service in services().values() if service["image"].startswith("mongo:")}
    assert servers == {stage for stage in stages() if stage.startswith("mongo:")}
    assert re.fullmatch(r"mongo:8\.\d+\.\d+", servers.pop())
    for tool in ("mongod", "mongodump", "mongorestore"):
        assert f"/usr/bin/{tool} " in DOCKERFILE.read_text()
        assert f"{tool} --version" in DOCKERFILE.read_text()


def test_the_image_is_built_with_the_locked_uv_from_the_lock() -> None:
    locked = {
        package["name"]: package["version"]
        for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
        if "version" in package
    }
    dockerfile = DOCKERFILE.read_text()
    assert f"uv=={locked['uv']}" in dockerfile
    syncing = [line for line in dockerfile.splitlines() if "uv sync" in line]
    assert syncing and all("--frozen" in line for line in syncing)
    assert "--extra docker" in dockerfile
    assert locked["dagster-postgres"].split(".")[2] == locked["dagster"].split(".")[2]


def test_the_image_does_not_run_as_root() -> None:
    last_stage = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    users = re.findall(r"^USER (\S+)", last_stage, flags=re.MULTILINE)
    assert users
    assert users[-1] not in ("root", "0")


def test_what_the_image_copies_exists_and_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for line in re.findall(r"^COPY (.+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)
        if "--from=" not in line
        for source in [word for word in line.split() if not word.startswith("--")][:-1]
    }
    assert copied and copied == sent
    assert all((ROOT / source).exists() for source in copied)


def test_every_service_waits_for_what_it_needs_and_shows_whether_it_is_well() -> None:
    for name, service in services().items():
        for needed, how in service.get("depends_on", {}).items():
            one_shot = needed == "mongodb-init"
            assert how["condition"] == ("service_completed_successfully" if one_shot else "service_healthy")
            # A service of a profile that is off must not keep the others from starting.
            off_by_profile = "profiles" in services()[needed] and "profiles" not in service
            assert how.get("required", True) is not off_by_profile
        if name != "mongodb-init":
            assert "test" in service["healthcheck"], name
            assert service["restart"] == "unless-stopped", name


def test_what_must_outlive_a_container_is_in_a_named_volume() -> None:
    mounts = {
        mount.split(":")[1]: mount.split(":")[0]
        for service in services().values()
        for mount in service.get("volumes", [])
        if not mount.startswith(".")
    }
    assert set(mounts.values()) == set(compose()["volumes"])
    release_home = re.search(r"NMDC_RELEASE_HOME=(\S+)", DOCKERFILE.read_text())
    assert release_home
    assert str(Path(release_home[1]).parent) in mounts
    assert {"/var/lib/postgresql/data", "/data/db", "/data/keyfile"} <= set(mounts)
    storage = dagster_settings()["local_artifact_storage"]["config"]["base_dir"]
    assert str(Path(storage).parent) in mounts


def dagster_settings() -> dict[str, Any]:
    settings, _ = dagster_instance_config(str(ROOT / "docker"))
    return dict(settings)


def test_dagster_accepts_its_settings() -> None:
    settings = dagster_settings()
    assert set(settings["storage"]) == {"postgres"}
    assert settings["run_monitoring"]["enabled"] is True


def test_dagster_would_refuse_a_misspelt_setting(tmp_path: Path) -> None:
    settings = (ROOT / "docker" / "dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(settings.replace("tag_concurrency_limits", "tag_limits"))
    with pytest.raises(DagsterInvalidConfigError):
        dagster_instance_config(str(tmp_path))


def test_dagster_sends_no_telemetry() -> None:
    assert dagster_settings()["telemetry"] == {"enabled": False}


def test_one_release_and_one_rehearsal_run_at_a_time() -> None:
    queue = QueuedRunCoordinator().get_run_queue_config()
    limits = ConcurrencyConfig.from_concurrency_settings(dagster_settings()["concurrency"], queue)
    assert limits.run_queue_config
    assert list(limits.run_queue_config.tag_concurrency_limits) == [
        {"key": "nmdc_release_ops/release", "limit": 1},
        {"key": "nmdc_release_ops/rehearsal", "limit": 1},
        {"key": "nmdc_release_ops/audit", "limit": 1},
    ]


@pytest.mark.parametrize("folder", [".", "docker"])
def test_the_watchdog_waits_for_no_other_sensor(folder: str) -> None:
    settings, _ = dagster_instance_config(str(ROOT / folder))
    assert settings["sensors"]["use_threads"] is True
    # As many as there are may hang at once, and one thread is left.
    assert settings["sensors"]["num_workers"] > len(defs.get_repository_def().sensor_defs)


def test_dagster_in_the_image_behaves_as_it_does_without_compose() -> None:
    root_settings = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    settings = yaml.safe_load((ROOT / "docker" / "dagster.yaml").read_text())
    for same in ("concurrency", "sensors", "run_monitoring", "telemetry"):
        assert settings[same] == root_settings[same], same


def test_dagster_finds_its_storage_through_variables_that_every_dagster_service_has() -> None:
    named = set(re.findall(r"env: (\w+)", (ROOT / "docker" / "dagster.yaml").read_text()))
    assert named
    for name in ("code", "webserver", "daemon"):
        assert named <= set(services()[name]["environment"])


def test_the_webserver_and_the_daemon_load_the_code_from_the_code_server() -> None:
    workspace = yaml.safe_load((ROOT / "docker" / "workspace.yaml").read_text())
    (location,) = workspace["load_from"]
    command = services()["code"]["command"]
    assert location["grpc_server"]["host"] == "code"
    assert str(location["grpc_server"]["port"]) == command[command.index("-p") + 1]
    for name in ("webserver", "daemon"):
        assert services()[name]["command"][-2:] == ["-w", "/opt/dagster/workspace.yaml"]


def test_the_scripts_of_the_stack_are_well_formed() -> None:
    scripts = ROOT / "docker" / "mongo"
    bash, node = shutil.which("bash"), shutil.which("node")
    if not bash or not node:
        pytest.skip("needs bash and node")
    for command in (
        [bash, "-n", str(scripts / "start-mongod.sh")],
        [node, "--check", str(scripts / "initialize.js")],
    ):
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_mongodb_in_the_stack_is_a_replica_set_with_a_keyfile() -> None:
    start = (ROOT / "docker" / "mongo" / "start-mongod.sh").read_text()
    assert "--replSet rs0" in start
    assert "--keyFile" in start
    assert "replicaSet=rs0" in variables_of_the_example()["NMDC_ORIGIN_URI"]
    assert '_id: "rs0"' in (ROOT / "docker" / "mongo" / "initialize.js").read_text()
