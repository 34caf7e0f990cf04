"""What the kubelet asks of the cluster: ConfigMaps, Secrets and tokens."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from remora.testing.kubernetes_api import KubernetesApi
from remora.testing.kubernetes_objects import Refused, ResourcePath
from remora.testing.kubernetes_tokens import KnownToken


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """The pod that a token is bound to."""

    namespace: str
    name: str
    uid: str
    service_account: str


class Cluster(Protocol):
    """Gives what pods refer to."""

    def config_map(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """Return a ConfigMap's values; None: there is none."""
        ...

    def secret(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """Return a Secret's values; None: there is none."""
        ...

    def token(self, pod: PodIdentity, audience: str, life_s: int) -> str:
        """Make a token of the pod's ServiceAccount that is bound to the pod."""
        ...


class ApiCluster:
    """Reads what the small API server of `remora.testing` keeps, and has it know tokens."""

    def __init__(self, api: KubernetesApi) -> None:
        """Take the API server."""
        self._api = api

    def config_map(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """Return ``data`` and ``binaryData`` of a ConfigMap."""
        found = self._get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        if found is None:
            return None
        texts = {key: value.encode() for key, value in (found.get("data") or {}).items()}
        return texts | _decoded(found.get("binaryData") or {})

    def secret(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """Return ``data`` of a Secret."""
        found = self._get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        return None if found is None else _decoded(found.get("data") or {})

    def token(self, pod: PodIdentity, audience: str, life_s: int) -> str:
        """Make a token that TokenReview knows from now on; it does not expire here."""
        made = secrets.token_urlsafe(32)
        self._api.tokens[made] = KnownToken(
            pod.namespace, pod.service_account, (audience,), pod.name, pod.uid
        )
        return made

    def _get(self, path: str) -> Mapping[str, Any] | None:
        try:
            return self._api.objects.get(ResourcePath.parse(path))
        except Refused:
            return None


def _decoded(values: Mapping[str, str]) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in values.items()}
