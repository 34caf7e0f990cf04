"""Secrets of the operator's namespace, read by name and saved so that nobody's change is lost.

Each is asked for by its own name, so that a Role with ``resourceNames`` is enough: ``get`` and
``update`` on the few that there are, and ``create``, which RBAC can't limit to a name.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from remora_operator.cluster.api_server import ApiServer, Refused
from remora_operator.custody.settings import MANAGED_BY, OURS

_TYPE = "kubernetes.io/tls"
_CERT_MANAGER = "cert-manager.io/certificate-name"


class Conflict(Exception):
    """Somebody else was quicker: read again, and decide again."""


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A Secret as it was read.

    Attributes:
        name: Its name.
        version: Its ``resourceVersion``.
        data: Decoded; a value that is no base64 is empty.
        is_ours: The operator made it.
        issuer: The cert-manager Certificate that writes it; empty if none does.
    """

    name: str
    version: str
    data: Mapping[str, bytes] = field(repr=False)
    is_ours: bool
    issuer: str
    _object: Mapping[str, Any] = field(repr=False)

    def with_data(self, data: Mapping[str, bytes]) -> Mapping[str, Any]:
        """Return the object with other data; its type, which can't change, and all else stay."""
        metadata = self._object["metadata"]
        labels = {**(metadata.get("labels") or {}), MANAGED_BY: OURS}
        return {
            **self._object,
            "metadata": {**metadata, "labels": labels},
            "data": _encoded(data),
        }


class SecretStore:
    """The Secrets of one namespace."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        """Take where they are."""
        self._api = api
        self._namespace = namespace

    def where(self, name: str) -> str:
        """Return how a Secret is called in what people read."""
        return f"Secret {self._namespace}/{name}"

    async def read(self, name: str) -> StoredSecret | None:
        """Read a Secret; None if there is none.

        Raises:
            Unavailable: The API server can't be reached, or does not give it.
        """
        found = await self._api.get(f"{self._path}/{name}")
        return None if found is None else _stored(name, found)

    async def create(self, name: str, data: Mapping[str, bytes]) -> None:
        """Make a Secret.

        Raises:
            Conflict: There is one of that name.
            Unavailable: The API server can't be reached, or refuses.
        """
        made = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": _TYPE,
            "metadata": {"name": name, "labels": {MANAGED_BY: OURS}},
            "data": _encoded(data),
        }
        try:
            await self._api.create(self._path, made)
        except Refused as refused:
            raise _conflict(refused) from refused

    async def save(self, stored: StoredSecret, data: Mapping[str, bytes]) -> None:
        """Write a Secret that has not changed since it was read.

        Raises:
            Conflict: It has changed, or is gone.
            Unavailable: The API server can't be reached, or refuses.
        """
        try:
            await self._api.replace(f"{self._path}/{stored.name}", stored.with_data(data))
        except Refused as refused:
            raise _conflict(refused) from refused

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self._namespace}/secrets"


def _conflict(refused: Refused) -> Exception:
    is_one = refused.status in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND)
    return Conflict(str(refused)) if is_one else refused


def _stored(name: str, found: Mapping[str, Any]) -> StoredSecret:
    metadata = found["metadata"]
    return StoredSecret(
        name=name,
        version=metadata["resourceVersion"],
        data={key: _decoded(value) for key, value in (found.get("data") or {}).items()},
        is_ours=(metadata.get("labels") or {}).get(MANAGED_BY) == OURS,
        issuer=(metadata.get("annotations") or {}).get(_CERT_MANAGER, ""),
        _object=found,
    )


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(value).decode("ascii") for key, value in data.items()}
