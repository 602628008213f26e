"""The part of `plan` that asks whether the Runtime is ready for the target version."""

from nmdc_release_ops.resources.runtime import RuntimeProject
from nmdc_release_ops.runtime.readiness import Check, Outcome, check_readiness, not_checked
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.services.errors import ServiceAddressInvalid
from nmdc_release_ops.steps.shared.failures import PlanRefused


def runtime_checks(runtime: RuntimeProject, version: SchemaVersion, *, required: bool) -> list[Check]:
    """What was found out about the Runtime.

    Raises:
        PlanRefused: something failed, or could not be checked, although it is required.
    """
    checks = _checks(runtime, version)
    problems = [f"The Runtime: {_line(check)}." for check in checks if check.outcome is not Outcome.PASSED]
    if required and problems:
        raise PlanRefused(
            [
                *problems,
                f"The Runtime has to be ready for {version} first. Or launch again without require_runtime_ready.",
            ]
        )
    return checks


def runtime_warnings(checks: list[Check]) -> list[str]:
    """What an operator should know before going on."""
    return [f"The Runtime is not ready: {_line(check)}." for check in checks if check.outcome is Outcome.FAILED]


def _checks(runtime: RuntimeProject, version: SchemaVersion) -> list[Check]:
    settings = runtime.settings
    if not settings.names_repository:
        return not_checked("NMDC_RUNTIME_REPOSITORY is not set")
    try:
        repository = runtime.repository()
    except ServiceAddressInvalid as error:
        return not_checked(str(error))
    return check_readiness(
        repository,
        version,
        pin_files=settings.pin_files,
        tests=settings.tests_workflow,
        images=settings.images_workflow,
    )


def _line(check: Check) -> str:
    return f"{check.what}: {check.outcome} ({check.says})"
