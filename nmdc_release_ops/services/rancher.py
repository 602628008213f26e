"""Rancher's API v3: redeploying workloads."""

import re
from urllib.parse import quote

from nmdc_release_ops.services.errors import RancherRefused, RancherUnreachable, ServiceAddressInvalid
from nmdc_release_ops.services.github import check_address
from nmdc_release_ops.services.transport import AnswerUnusable, NoAnswer, Timeouts, Transport

_CONTEXT = re.compile(r"[a-z0-9-]{1,63}:[a-z0-9-]{1,63}", re.ASCII)
# Names of Kubernetes: RFC 1123 labels.
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


class Rancher:
    """Deployments of one namespace.

    Args:
        address: of the server, "https://rancher2.spin.nersc.gov", with or without "/v3".
        context: cluster and project, "c-abcde:p-fghij".
        token: an API key of Rancher, "token-abcde:...".

    Raises:
        ServiceAddressInvalid.
    """

    def __init__(
        self, address: str, context: str, namespace: str, token: str, timeouts: Timeouts | None = None
    ) -> None:
        base = check_address(address, "NMDC_RANCHER_URL")
        self._api = base if base.endswith("/v3") else f"{base}/v3"
        if not _CONTEXT.fullmatch(context):
            raise ServiceAddressInvalid(
                'NMDC_RANCHER_CONTEXT is not a context. A context looks like "c-abcde:p-fghij".'
            )
        self._context = context
        self._namespace = require_label(namespace, "NMDC_RANCHER_NAMESPACE")
        self._transport = Transport(token, timeouts)

    def redeploy(self, deployment: str) -> None:
        """Replace the pods of a deployment. Rancher answers as soon as it has begun.

        Raises:
            ServiceAddressInvalid, RancherUnreachable, RancherRefused.
        """
        name = require_label(deployment, "NMDC_RANCHER_DEPLOYMENTS")
        workload = f"deployment:{self._namespace}:{name}"
        url = f"{self._api}/project/{quote(self._context, safe=':')}/workloads/{workload}?action=redeploy"
        call = f"redeploy of {workload}"
        try:
            answer = self._transport.send(
                "POST", url, headers={"Accept": "application/json"}, body={}, repeatable=False
            )
        except (NoAnswer, AnswerUnusable) as error:
            raise RancherUnreachable(f"Rancher did not answer the {call}: {error}. Check NMDC_RANCHER_URL.") from None
        if answer.is_server_error:
            raise RancherUnreachable(
                f"Rancher answered the {call} with {answer.status}. The problem is on Rancher's side; try again later."
            )
        if answer.status in (401, 403):
            raise RancherRefused(
                f"Rancher answered the {call} with {answer.status}: NMDC_RANCHER_TOKEN is wrong, expired or lacks the permission."
            )
        if answer.status == 404:
            raise RancherRefused(
                f"Rancher answered the {call} with 404: no such deployment in NMDC_RANCHER_NAMESPACE, or "
                "NMDC_RANCHER_CONTEXT is wrong."
            )
        if not 200 <= answer.status < 300:
            raise RancherRefused(f"Rancher answered the {call} with {answer.status}.")


def require_label(name: str, variable: str) -> str:
    """`name`, if Kubernetes allows it as a name.

    Raises:
        ServiceAddressInvalid.
    """
    if not _LABEL.fullmatch(name):
        raise ServiceAddressInvalid(f"{variable} contains {name[:80]!r}, which cannot be a name in Kubernetes.")
    return name
