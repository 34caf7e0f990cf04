"""Which injected pods there are: whoever may still know an old root, or need the trust files."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from remora_operator.cluster.api_server import ApiServer
from remora_operator.custody.listing import listed_metadata
from remora_operator.inject.layout import STATUS_ANNOTATION

_NOT_OVER = "status.phase!=Succeeded,status.phase!=Failed"


@dataclass(frozen=True, slots=True)
class InjectedPod:
    """A pod with a sidecar that is not over yet.

    Attributes:
        namespace: Where it is.
        name: Its name.
        created: When it was, UTC: before any of its programs started.
    """

    namespace: str
    name: str
    created: datetime


async def injected_pods(api: ApiServer, namespace: str = "") -> tuple[InjectedPod, ...]:
    """List the injected pods of a namespace; of all without one.

    Raises:
        Unavailable: The API server can't be reached, or does not give them.
    """
    path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
    found = listed_metadata(api, path, fieldSelector=_NOT_OVER)
    return tuple(
        [_pod(m) async for m in found if STATUS_ANNOTATION in (m.get("annotations") or {})]
    )


def _pod(metadata: Mapping[str, Any]) -> InjectedPod:
    created = datetime.fromisoformat(metadata["creationTimestamp"]).astimezone(UTC)
    return InjectedPod(metadata.get("namespace", ""), metadata["name"], created)
