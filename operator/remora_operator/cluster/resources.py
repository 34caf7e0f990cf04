"""What is watched: collections of the API server, by their paths and selectors. Pure.

Selectors are the server's, so that what nobody asked for does not travel. Objects of which only
the metadata count come as ``PartialObjectMetadata``: a Secret's values are not sent at all.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/, "Resource representations".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from remora.errors import Unavailable
from remora.policy.spec import API_VERSION
from remora_operator.cluster.objects import Json
from remora_operator.policies import ObjectKey
from remora_operator.policies.credentials import PROVIDER_LABEL

_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True)
class Resource:
    """One collection, of all namespaces.

    Attributes:
        name: For logs and metrics: the plural.
        path: Of the collection.
        labels: A label selector; empty: all.
        fields: A field selector; empty: all.
        metadata_only: Only the objects' metadata are wanted.
    """

    name: str
    path: str
    labels: str = ""
    fields: str = ""
    metadata_only: bool = False

    @property
    def selectors(self) -> Mapping[str, str]:
        """As parameters of a request."""
        given = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: value for name, value in given.items() if value}

    @property
    def list_form(self) -> str:
        """The form in which a list is wanted, for ``Accept``."""
        return _METADATA_LIST if self.metadata_only else _JSON

    @property
    def watch_form(self) -> str:
        """The form in which a watch's objects are wanted, for ``Accept``."""
        return _METADATA if self.metadata_only else _JSON


class Seen(NamedTuple):
    """An object as it was seen: another one of the same name has another uid."""

    namespace: str
    name: str
    uid: str


def seen(value: Json) -> Seen:
    """Read which object this is.

    Raises:
        Unavailable: It has no metadata, or no name: no API server sends that.
    """
    try:
        metadata = value["metadata"]
        return Seen(metadata.get("namespace", ""), metadata["name"], metadata.get("uid", ""))
    except (LookupError, TypeError, AttributeError):
        raise Unavailable("the API server sends what is no object") from None


_PLURALS = {
    "LLMPolicy": "llmpolicies",
    "ClusterLLMPolicy": "clusterllmpolicies",
    "LLMProvider": "llmproviders",
}

POLICY_KINDS: Mapping[str, Resource] = {
    kind: Resource(plural, f"/apis/{API_VERSION}/{plural}") for kind, plural in _PLURALS.items()
}
"""The custom resources, by their kinds."""

NAMESPACES = Resource("namespaces", "/api/v1/namespaces", metadata_only=True)

SECRETS = Resource("secrets", "/api/v1/secrets", labels=PROVIDER_LABEL, metadata_only=True)

PODS = Resource("pods", "/api/v1/pods", fields="status.phase!=Succeeded,status.phase!=Failed")
"""Injection leaves no label on a pod, on purpose: its shape decides. So all pods come that are not
over, and those with a sidecar are told by `remora_operator.cluster.pods`."""


def path_of(key: ObjectKey) -> str:
    """Return the path of a custom resource."""
    where = f"/namespaces/{key.namespace}" if key.namespace else ""
    return f"/apis/{API_VERSION}{where}/{_PLURALS[key.kind]}/{key.name}"


def path_of_pod(namespace: str, name: str) -> str:
    """Return the path of a pod."""
    return f"/api/v1/namespaces/{namespace}/pods/{name}"
