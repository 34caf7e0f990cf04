"""Lists of objects by their metadata alone, page by page.

Trust files are large and pods are many; the API server gives their metadata without the rest
(https://kubernetes.io/docs/reference/using-api/api-concepts/, "partial objects").
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from remora_operator.cluster.api_server import ApiServer

_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_PAGE = "500"
_TIMEOUT_S = 30.0


async def listed_metadata(
    api: ApiServer, path: str, **selectors: str
) -> AsyncIterator[Mapping[str, Any]]:
    """Give the ``metadata`` of each object of a collection.

    Args:
        api: Asked.
        path: Of the collection.
        **selectors: ``fieldSelector`` and ``labelSelector``.

    Raises:
        Unavailable: The API server can't be reached, or does not give it.
    """
    more = ""
    while True:
        query = {**selectors, "limit": _PAGE, **({"continue": more} if more else {})}
        page = await api.listed(path, query, accept=_METADATA, timeout_s=_TIMEOUT_S)
        for one in page.get("items") or ():
            yield one["metadata"]
        more = (page.get("metadata") or {}).get("continue") or ""
        if not more:
            return
