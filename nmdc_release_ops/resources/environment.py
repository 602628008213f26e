"""The environment variables: every setting of the project is read here.

One class per system, so that a wrong value stops only the steps that need it. Every variable is a field, with its default; a
secret is a `SecretStr`. Each `read()` reads the present values. An empty or blank variable counts as not set.

Elsewhere the environment is read only for the processes that the project starts (uv's variables, PATH), for `MONGOD`
(`mongo.programs.mongod`), and in the demo.
"""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, Json, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from nmdc_release_ops.masking import MASK, mask, mask_logins
from nmdc_release_ops.runtime.deploying_workflow import DeployingWorkflow

POLL_SECONDS = 300
_LONGEST_SHOWN = 40
_DIGITS = re.compile("[1-9][0-9]*", re.ASCII)
_MONGODB_ADDRESS = re.compile(r"mongodb(?:\+srv)?://[^\s'\"`;]+")
# A shorter one would mask parts of ordinary words.
_SHORTEST_PASSWORD = 4


class ConfigurationMissing(Exception):
    """An environment variable that a step needs is not set."""


class ConfigurationInvalid(Exception):
    """The value of an environment variable is invalid."""


class Settings(BaseSettings):
    """The variables of one system.

    Attributes:
        shows_values: whether an error may show the invalid value. False where a variable can contain a secret.
    """

    model_config = SettingsConfigDict(
        case_sensitive=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        # A list is separated by commas; see `_split`.
        enable_decoding=False,
    )
    shows_values: ClassVar[bool] = False

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the environment: no .env file of whatever folder the process runs in."""
        return (env_settings,)

    @model_validator(mode="before")
    @classmethod
    def _drop_blank(cls, values: dict[str, str]) -> dict[str, str]:
        return {name: text for name, value in values.items() if (text := value.strip())}

    @classmethod
    def read(cls) -> Self:
        """The present values.

        Raises:
            ConfigurationInvalid: names the variable.
        """
        try:
            return cls()
        except ValidationError as error:
            raise ConfigurationInvalid(cls._explain(error)) from None

    @classmethod
    def _explain(cls, error: ValidationError) -> str:
        first = error.errors(include_url=False)[0]
        variable, *place = (str(part) for part in first["loc"])
        field = next(field for field in cls.model_fields.values() if field.validation_alias == variable)
        expected = field.description or "It must be text in UTF-8."
        if cls.shows_values:
            return f"{variable} is {str(first['input'])[:_LONGEST_SHOWN]!r}. {expected}"
        return f"{variable} cannot be read ({'.'.join(place) or 'the value'}: {first['msg']}). {expected}"


def _split(value: Any) -> Any:
    """The words of a list that is separated by commas."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _parse_flag(value: Any) -> Any:
    """Pydantic alone would also take 1, on, yes and others."""
    if isinstance(value, str):
        if value.lower() not in ("true", "false"):
            raise ValueError("it is neither true nor false")
        return value.lower() == "true"
    return value


def _parse_number(value: Any) -> Any:
    """Pydantic alone would also take 300.0, +300 and 3_00."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("it is not a number")
    return value


Words = Annotated[list[str], BeforeValidator(_split)]


class OriginSettings(Settings):
    """The production database."""

    uri: SecretStr | None = Field(None, validation_alias="NMDC_ORIGIN_URI")
    database: str = Field("nmdc", validation_alias="NMDC_ORIGIN_DB")


class AuditSettings(Settings):
    """How audits read the production database."""

    shows_values: ClassVar[bool] = True

    documents_per_second: Annotated[int | None, BeforeValidator(_parse_number)] = Field(
        None,
        validation_alias="NMDC_AUDIT_DOCUMENTS_PER_SECOND",
        ge=1,
        description="It is a number of documents, such as 20000.",
    )


class TransformerSettings(Settings):
    """The scratch database. Without a URI, each release starts a private mongod."""

    uri: SecretStr | None = Field(None, validation_alias="NMDC_TRANSFORMER_URI")


class HomeSettings(Settings):
    """The folder for archives, schema environments and the transformer's files, and where its pages are served."""

    path: Path = Field(Path("~/.local/state/nmdc-release-ops"), validation_alias="NMDC_RELEASE_HOME")
    reports_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$",
        validation_alias="NMDC_REPORTS_URL",
        description="It is the address at which NMDC_RELEASE_HOME is served, such as https://reports.example.org/nmdc, without "
        "a login.",
    )


class GitHubSettings(Settings):
    """GitHub's API."""

    api: str = Field("https://api.github.com", validation_alias="NMDC_GITHUB_API")
    token: SecretStr | None = Field(None, validation_alias="GITHUB_TOKEN")


class OnNewRelease(StrEnum):
    """What `schema_release_sensor` does about a new schema release."""

    RELEASE = "release"
    REHEARSAL = "rehearsal"
    ONLINE_RELEASE = "online_release"
    NOTIFY = "notify"


class SchemaWatchSettings(Settings):
    """What `schema_release_sensor` watches.

    Attributes:
        poll_seconds: minimum time between two ticks.
    """

    shows_values: ClassVar[bool] = True

    repository: str = Field("microbiomedata/nmdc-schema", validation_alias="NMDC_SCHEMA_REPOSITORY")
    on_new_release: Annotated[OnNewRelease, BeforeValidator(_lower)] = Field(
        OnNewRelease.NOTIFY,
        validation_alias="NMDC_ON_NEW_RELEASE",
        description="It may be release, rehearsal, online_release or notify.",
    )
    include_prereleases: Annotated[bool, BeforeValidator(_parse_flag)] = Field(
        False, validation_alias="NMDC_INCLUDE_PRERELEASES", description="It may be true or false."
    )
    poll_seconds: Annotated[int, BeforeValidator(_parse_number)] = Field(
        POLL_SECONDS,
        validation_alias="NMDC_SCHEMA_POLL_SECONDS",
        ge=1,
        le=999_999,
        description=f"It is a number of seconds, such as {POLL_SECONDS}.",
    )


class RuntimeSettings(Settings):
    """The Runtime's repository.

    Attributes:
        tests_workflow: the workflow that tests it.
        images_workflow: the workflow that builds its images.
        release_workflows: the workflows that a release starts.
        pin_files: files that may pin the schema's version; the first one that exists counts.
    """

    repository: str = Field("microbiomedata/nmdc-runtime", validation_alias="NMDC_RUNTIME_REPOSITORY")
    tests_workflow: str = Field("python-app.yml", validation_alias="NMDC_RUNTIME_TESTS_WORKFLOW")
    images_workflow: str = Field("build-and-push-docker-images.yml", validation_alias="NMDC_RUNTIME_IMAGES_WORKFLOW")
    release_workflows: Words = Field(
        ["build-and-push-docker-images.yml", "release-to-pypi.yml"], validation_alias="NMDC_RUNTIME_RELEASE_WORKFLOWS"
    )
    pin_files: Words = Field(["uv.lock", "requirements/main.txt"], validation_alias="NMDC_RUNTIME_PIN_FILES")

    @property
    def names_repository(self) -> bool:
        """Whether the repository is set, and not the default."""
        return "repository" in self.model_fields_set


class DeploymentSettings(Settings):
    """What is deployed after a release, by GitHub workflows and by Rancher."""

    workflows: Json[list[DeployingWorkflow]] | None = Field(
        None,
        repr=False,
        validation_alias="NMDC_DEPLOY_WORKFLOWS",
        description='It is JSON: [{"repository": "owner/name", "workflow": "deploy.yml", "ref": "main", "inputs": {}}].',
    )
    rancher_url: str | None = Field(None, validation_alias="NMDC_RANCHER_URL")
    rancher_context: str | None = Field(None, validation_alias="NMDC_RANCHER_CONTEXT")
    rancher_namespace: str | None = Field(None, validation_alias="NMDC_RANCHER_NAMESPACE")
    rancher_token: SecretStr | None = Field(None, validation_alias="NMDC_RANCHER_TOKEN")
    rancher_deployments: Words = Field(
        ["runtime-api", "dagster-dagit", "dagster-daemon"], validation_alias="NMDC_RANCHER_DEPLOYMENTS"
    )


class RunningRuntimeSettings(Settings):
    """Where the Runtime runs: its API, and the webserver of its Dagster."""

    url: str | None = Field(None, validation_alias="NMDC_RUNTIME_URL")
    dagster_url: str | None = Field(None, validation_alias="NMDC_RUNTIME_DAGSTER_URL")

    @property
    def is_set(self) -> bool:
        """Whether one of them is: a Dagster without the Runtime's address is a mistake that `plan` reports."""
        return bool(self.model_fields_set)


class NoticeSettings(Settings):
    """A chat's incoming webhook. Without one, no notices are sent."""

    webhook: SecretStr | None = Field(None, validation_alias="NMDC_NOTICE_WEBHOOK")


def mask_secrets(text: str) -> str:
    """Mask every secret of the environment, every login, and the addresses of MongoDB servers in a text that people read."""
    return mask(_MONGODB_ADDRESS.sub(MASK, mask_logins(text)), _list_secrets())


def _list_secrets() -> set[str]:
    secrets: set[str] = set()
    for kind in Settings.__subclasses__():
        try:
            values = [value.get_secret_value() for _, value in kind.read() if isinstance(value, SecretStr)]
        except ConfigurationInvalid:
            continue
        secrets.update(values)
        for value in values:
            login, _, address = value.partition("://")[2].rpartition("@")
            secrets.add(login.partition(":")[2])
            if value.startswith("mongodb"):
                secrets.update(node.partition(":")[0] for node in re.split("[/?]", address)[0].split(","))
    return {secret for secret in secrets if len(secret) >= _SHORTEST_PASSWORD}
