"""The webhook configuration's ``caBundle``: by whose root the API server checks our certificate.

Without it no pod of a selected namespace is created. So it is never made empty, holds old and new
root while there are two, and is put right within seconds after somebody sets it back.
"""

import base64
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from remora.errors import Problem
from remora_operator.cluster.api_server import ApiServer, Refused

logger = logging.getLogger(__name__)

_TRIES = 3
_PATH = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/"


class WebhookTrust:
    """One MutatingWebhookConfiguration."""

    def __init__(self, api: ApiServer, name: str) -> None:
        """Take which one."""
        self._api = api
        self._path = _PATH + name
        self._where = f"MutatingWebhookConfiguration {name}"

    async def keep(self, roots_pem: bytes) -> tuple[Problem, ...]:
        """See to it that every entry trusts the roots, and write only where one does not.

        Args:
            roots_pem: The serving CA's roots.

        Raises:
            Unavailable: The API server can't be reached, or refuses.
            ValueError: There is no root: an empty bundle would stop the creation of pods.
        """
        if not roots_pem:
            raise ValueError("a webhook's caBundle is never made empty")
        wanted = base64.b64encode(roots_pem).decode("ascii")
        for _ in range(_TRIES):
            found = await self._api.get(self._path)
            if found is None:
                return (Problem(self._where, "is not there: no pod is injected"),)
            if all(_bundle(entry) == wanted for entry in _entries(found)):
                return ()
            if await self._patched(found, wanted):
                return ()
        return (Problem(self._where, "is written by somebody else again and again"),)

    async def look(self) -> tuple[Problem, ...]:
        """Say what is wrong where somebody else keeps it.

        Raises:
            Unavailable: The API server can't be reached, or refuses.
        """
        found = await self._api.get(self._path)
        if found is None:
            return (Problem(self._where, "is not there: no pod is injected"),)
        empty = [str(entry.get("name")) for entry in _entries(found) if not _bundle(entry)]
        if not empty:
            return ()
        what = f"has no caBundle for {', '.join(empty)}: look at cert-manager's cainjector"
        return (Problem(self._where, what),)

    async def _patched(self, found: Mapping[str, Any], wanted: str) -> bool:
        """Write all entries, whose list a patch replaces whole; False if somebody was quicker."""
        entries = [
            {**entry, "clientConfig": {**entry["clientConfig"], "caBundle": wanted}}
            for entry in _entries(found)
        ]
        version = found["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "webhooks": entries}
        try:
            is_there = await self._api.patch(self._path, body) is not None
        except Refused as refused:
            if refused.status != HTTPStatus.CONFLICT:
                raise
            return False
        logger.info("%s: wrote caBundle", self._where)
        return is_there


def _entries(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(found.get("webhooks") or ())


def _bundle(entry: Mapping[str, Any]) -> str:
    return str(entry["clientConfig"].get("caBundle") or "")
