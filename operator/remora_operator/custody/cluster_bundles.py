"""The ClusterTrustBundles from which pods take our roots, where the configuration says so.

API: ``certificates.k8s.io``, ``ClusterTrustBundle``: PEM blocks of CAs, none of them twice
(https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/).
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from remora.errors import Problem
from remora.trust import BUNDLE_FILE, CA_FILE
from remora_operator.ca.certificates import path_length
from remora_operator.ca.trust_bundle import parsed_roots
from remora_operator.cluster.api_server import ApiServer, Refused
from remora_operator.custody.settings import MANAGED_BY, OURS
from remora_operator.custody.trust_files import TrustFiles
from remora_operator.inject.layout import CA_TRUST_BUNDLE, FULL_TRUST_BUNDLE

logger = logging.getLogger(__name__)

_GROUP = "/apis/certificates.k8s.io"
_VERSIONS = ("v1", "v1beta1")
_FILES = {CA_TRUST_BUNDLE: CA_FILE, FULL_TRUST_BUNDLE: BUNDLE_FILE}


class ClusterBundles:
    """Keeps both of them."""

    def __init__(self, api: ApiServer) -> None:
        """Take the cluster."""
        self._api = api
        self._version = ""

    async def keep(self, files: TrustFiles) -> tuple[Problem, ...]:
        """Write what lacks or differs.

        Raises:
            Unavailable: The API server can't be reached, or refuses.
        """
        problems = [await self._put_right(name, files.texts[key]) for name, key in _FILES.items()]
        return tuple(problem for problem in problems if problem is not None)

    async def _put_right(self, name: str, pem: str) -> Problem | None:
        where, wanted = f"ClusterTrustBundle {name}", _of_authorities(pem)
        found = await self._found(name)
        if found is None:
            return await self._create(name, wanted)
        if (found["metadata"].get("labels") or {}).get(MANAGED_BY) != OURS:
            return Problem(where, "was not made by the operator, and is not overwritten")
        if (found.get("spec") or {}).get("trustBundle") == wanted:
            return None
        try:
            path = f"{self._collection(self._version)}/{name}"
            await self._api.replace(path, {**found, "spec": {"trustBundle": wanted}})
        except Refused as refused:
            if refused.status != HTTPStatus.CONFLICT:
                raise
            return Problem(where, "was just written by somebody else; it is looked at again")
        logger.info("%s updated", where)
        return None

    async def _found(self, name: str) -> Mapping[str, Any] | None:
        for version in [self._version] if self._version else _VERSIONS:
            found = await self._api.get(f"{self._collection(version)}/{name}")
            if found is not None:
                self._version = version
                return found
        return None

    async def _create(self, name: str, pem: str) -> Problem | None:
        """Make one by the first version that the server has; 404 says that it lacks one."""
        where = f"ClusterTrustBundle {name}"
        for version in [self._version] if self._version else _VERSIONS:
            body = {
                "apiVersion": f"certificates.k8s.io/{version}",
                "kind": "ClusterTrustBundle",
                "metadata": {"name": name, "labels": {MANAGED_BY: OURS}},
                "spec": {"trustBundle": pem},
            }
            try:
                await self._api.create(self._collection(version), body)
            except Refused as refused:
                if refused.status != HTTPStatus.NOT_FOUND:
                    raise
                continue
            self._version = version
            logger.info("%s created", where)
            return None
        what = "can't be made: this server has none; set trustSource to configMap"
        return Problem(where, what)

    def _collection(self, version: str) -> str:
        return f"{_GROUP}/{version}/clustertrustbundles"


def _of_authorities(pem: str) -> str:
    """Leave out what is no CA's certificate, for which the server would refuse all of it."""
    roots = [root for root in parsed_roots(pem.encode()) if _is_authority(root)]
    return b"".join(root.public_bytes(Encoding.PEM) for root in roots).decode("ascii")


def _is_authority(root: x509.Certificate) -> bool:
    try:
        path_length(root)
    except ValueError:
        return False
    return True
