"""Which roots agents and servers were told to trust: a ConfigMap beside the Secrets.

A root's key is in one Secret. Where that is lost or replaced, the record still says that a root
was trusted, so that no other takes its place unseen. It holds certificates only, and may be given
to whoever has to trust a root outside of injected pods.
"""

from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from remora_operator.ca.trust_bundle import parsed_roots
from remora_operator.cluster.api_server import ApiServer
from remora_operator.custody.config_maps import ConfigMaps
from remora_operator.custody.known_roots import KnownRoots
from remora_operator.custody.settings import ROOTS_RECORD


class RootsRecord:
    """The record of one namespace."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        """Take where it is."""
        self._maps = ConfigMaps(api, namespace)

    async def read(self, secret: str) -> KnownRoots:
        """Read the roots of the CA that a Secret holds.

        Raises:
            Unavailable: The API server can't be reached, or does not give it.
        """
        texts = await self._maps.texts(ROOTS_RECORD) or {}
        return KnownRoots(parsed_roots(texts.get(_key(secret), "").encode()))

    async def write(self, secret: str, roots: Iterable[x509.Certificate]) -> None:
        """Write the roots of a CA, whatever stood there for it.

        Raises:
            Unavailable: The API server can't be reached, or refuses.
        """
        pem = b"".join(root.public_bytes(Encoding.PEM) for root in roots).decode("ascii")
        texts: Mapping[str, str] = {_key(secret): pem}
        await self._maps.merge(ROOTS_RECORD, texts)


def _key(secret: str) -> str:
    return f"{secret}.pem"
