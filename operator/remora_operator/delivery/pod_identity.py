"""Who asks the operator: a running pod, as the cluster says it is. The seam of both services."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

type Metadata = Iterable[tuple[str, str | bytes]]
"""Of a gRPC call."""


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """A pod that was alive a moment ago.

    Attributes:
        namespace: Its namespace.
        pod_name: Its name.
        pod_uid: Its uid: another pod of the same name is another one.
        service_account: The ServiceAccount that it runs as.
    """

    namespace: str
    pod_name: str
    pod_uid: str
    service_account: str

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.pod_name} ({self.pod_uid})"


class Identities(Protocol):
    """Tells who asks."""

    async def identify(self, metadata: Metadata) -> PodIdentity:
        """Return the pod that a call comes from.

        Raises:
            BadRequest: Status 401 without an accepted token, 403 if it is no running pod's.
            Unavailable: The cluster can't be asked.
        """
        ...
