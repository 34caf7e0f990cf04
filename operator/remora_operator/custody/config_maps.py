"""Single ConfigMaps of the operator's namespace, by name."""

from collections.abc import Mapping
from http import HTTPStatus

from remora_operator.cluster.api_server import ApiServer, Refused
from remora_operator.custody.settings import MANAGED_BY, OURS


class ConfigMaps:
    """The ConfigMaps of one namespace."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        """Take where they are."""
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"

    async def texts(self, name: str) -> Mapping[str, str] | None:
        """Read a ConfigMap's ``data``; None if there is no such ConfigMap.

        Raises:
            Unavailable: The API server can't be reached, or does not give it.
        """
        found = await self._api.get(f"{self._path}/{name}")
        return None if found is None else dict(found.get("data") or {})

    async def merge(self, name: str, texts: Mapping[str, str]) -> None:
        """Write some keys and leave the others; makes the ConfigMap if there is none.

        Raises:
            Unavailable: The API server can't be reached, or refuses.
        """
        body = {"data": dict(texts)}
        if await self._api.patch(f"{self._path}/{name}", body) is not None:
            return
        metadata = {"name": name, "labels": {MANAGED_BY: OURS}}
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **body}
        try:
            await self._api.create(self._path, made)
        except Refused as refused:
            if refused.status != HTTPStatus.CONFLICT:
                raise
            await self._api.patch(f"{self._path}/{name}", body)
