"""The environment variables: what is not set has its default, what is invalid is named, and no secret is ever shown."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from nmdc_release_ops.resources.environment import (
    ConfigurationInvalid,
    DeploymentSettings,
    GitHubSettings,
    HomeSettings,
    OriginSettings,
    RuntimeSettings,
    SchemaWatchSettings,
    Settings,
    mask_secrets,
)
from nmdc_release_ops.resources.github import SchemaWatchResource
from nmdc_release_ops.resources.runtime import deployment_is_configured

SECRET = "hunter2"
WORKFLOWS = "NMDC_DEPLOY_WORKFLOWS"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in Settings.__subclasses__():
        for field in settings.model_fields.values():
            monkeypatch.delenv(str(field.validation_alias), raising=False)


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_a_blank_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    for settings in Settings.__subclasses__():
        unset = settings.read()
        for field in settings.model_fields.values():
            monkeypatch.setenv(str(field.validation_alias), blank)
        assert settings.read() == unset
        assert not settings.read().model_fields_set


def test_a_variable_that_is_changed_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_ORIGIN_DB", "one")
    assert OriginSettings.read().database == "one"
    monkeypatch.setenv("NMDC_ORIGIN_DB", "two")
    assert OriginSettings.read().database == "two"


def test_no_file_is_read_besides_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NMDC_ORIGIN_DB=from_a_file\n")
    monkeypatch.chdir(tmp_path)
    assert OriginSettings.read().database == "nmdc"


def test_a_list_is_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_RUNTIME_PIN_FILES", " uv.lock, requirements.txt ,")
    assert RuntimeSettings.read().pin_files == ["uv.lock", "requirements.txt"]


def test_a_secret_is_not_in_the_settings_as_they_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in Settings.__subclasses__():
        for name, field in settings.model_fields.items():
            if SecretStr in getattr(field.annotation, "__args__", ()):
                monkeypatch.setenv(str(field.validation_alias), SECRET)
                assert getattr(settings.read(), name).get_secret_value() == SECRET
        assert SECRET not in repr(settings.read()) + str(settings.read())


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        (
            "NMDC_ON_NEW_RELEASE",
            "relase",
            "NMDC_ON_NEW_RELEASE is 'relase'. It may be release, rehearsal, online_release or notify.",
        ),
        ("NMDC_INCLUDE_PRERELEASES", "1", "NMDC_INCLUDE_PRERELEASES is '1'. It may be true or false."),
        ("NMDC_SCHEMA_POLL_SECONDS", "300.0", "NMDC_SCHEMA_POLL_SECONDS is '300.0'. It is a number of seconds"),
        ("NMDC_INCLUDE_PRERELEASES", "perhaps", "NMDC_INCLUDE_PRERELEASES is 'perhaps'. It may be true or false."),
        ("NMDC_SCHEMA_POLL_SECONDS", "0", "NMDC_SCHEMA_POLL_SECONDS is '0'. It is a number of seconds, such as 300."),
        ("NMDC_SCHEMA_POLL_SECONDS", "x" * 99, f"NMDC_SCHEMA_POLL_SECONDS is '{'x' * 40}'. It is a number"),
    ],
)
def test_an_invalid_value_is_named_with_what_it_may_be(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationInvalid) as refused:
        SchemaWatchSettings.read()
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (SECRET, "NMDC_DEPLOY_WORKFLOWS cannot be read (the value: Invalid JSON"),
        (
            f'{{"{SECRET}": "{SECRET}"}}',
            "NMDC_DEPLOY_WORKFLOWS cannot be read (the value: Input should be a valid list",
        ),
        (f'["{SECRET}"]', "NMDC_DEPLOY_WORKFLOWS cannot be read (0: Input should be"),
        (
            f'[{{"repository": "a/b", "inputs": {{"token": "{SECRET}"}}}}]',
            "NMDC_DEPLOY_WORKFLOWS cannot be read (0.workflow: Field required). It is JSON: [{",
        ),
    ],
)
def test_an_invalid_list_of_workflows_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, value: str, says: str
) -> None:
    monkeypatch.setenv(WORKFLOWS, value)
    with pytest.raises(ConfigurationInvalid) as refused:
        DeploymentSettings.read()
    assert str(refused.value).startswith(says)
    assert SECRET not in str(refused.value) + str(refused.value.__context__)


def test_a_variable_of_one_system_does_not_stop_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_SCHEMA_POLL_SECONDS", "soon")
    monkeypatch.setenv(WORKFLOWS, "deploy.yml")
    assert GitHubSettings.read().api == "https://api.github.com"
    assert OriginSettings.read().uri is None


def test_the_jobs_and_sensors_load_with_invalid_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not deployment_is_configured()
    monkeypatch.setenv("NMDC_SCHEMA_POLL_SECONDS", "soon")
    monkeypatch.setenv(WORKFLOWS, "deploy.yml")
    assert SchemaWatchResource().seconds_between_ticks == 300
    # The graph has the step, which reports what is invalid.
    assert deployment_is_configured()


def test_secrets_are_masked_in_a_text_however_they_are_spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_ORIGIN_URI", "mongodb://operator:hunter%3A2@db.example.org:27017/?authSource=admin")
    monkeypatch.setenv("GITHUB_TOKEN", "a-token")
    # Another system's invalid variable must not keep the others from being masked.
    monkeypatch.setenv("NMDC_SCHEMA_POLL_SECONDS", "soon")
    text = mask_secrets(
        "mongodb://operator:hunter%3A2@db.example.org:27017/?authSource=admin refused hunter:2 and a-token; "
        "https://user:pass@github.com/a; mongodb+srv://db.example.org/nmdc; the origin at db.example.org:27017 stopped"
    )
    assert text == "*** refused *** and ***; https://***@github.com/a; ***; the origin at ***:27017 stopped"


@pytest.mark.parametrize(
    "value", ["reports.example.org", "ftp://x.org/", "https://user:pass@x.org/", "https://x.org/?a=b"]
)
def test_where_pages_are_served_is_an_address_without_a_login(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NMDC_REPORTS_URL", "https://reports.example.org/nmdc/")
    assert HomeSettings.read().reports_url == "https://reports.example.org/nmdc/"
    monkeypatch.setenv("NMDC_REPORTS_URL", value)
    with pytest.raises(ConfigurationInvalid, match=r"NMDC_REPORTS_URL cannot be read .* It is the address") as refused:
        HomeSettings.read()
    assert "pass" not in str(refused.value)
