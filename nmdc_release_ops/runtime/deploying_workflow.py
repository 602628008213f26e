"""A workflow that deploys the Runtime, as it is configured."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class DeployingWorkflow(BaseModel):
    """A workflow that deploys when it is dispatched.

    Attributes:
        workflow: name of its file.
        ref: branch or tag that it runs on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str
    workflow: str
    ref: str = "main"
    inputs: Annotated[dict[str, str], Field(max_length=25)] = {}

    def __str__(self) -> str:
        return f"{self.workflow} of {self.repository} on {self.ref}"
