"""Reads whose roots go into the trust files, and makes these anew only where something changed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import certifi
from cryptography import x509

from remora_operator.custody.config_maps import ConfigMaps
from remora_operator.custody.settings import EXTRA_BUNDLES, UPSTREAM_BUNDLES
from remora_operator.custody.trust_files import TrustFiles, TrustSources, trust_files

_EXPIRY_LOOKED_AT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class OwnRoots:
    """The roots of our two CAs.

    Attributes:
        interception: Old and new while there are two.
        serving: The same of the other CA.
    """

    interception: tuple[x509.Certificate, ...]
    serving: tuple[x509.Certificate, ...]


class TrustSourcesReader:
    """Makes trust files from our roots, public ones and what ConfigMaps add."""

    def __init__(self, maps: ConfigMaps) -> None:
        """Take the ConfigMaps of the operator's namespace."""
        self._maps = maps
        self._public = b""
        self._sources: TrustSources | None = None
        self._made_at: datetime | None = None
        self._files: TrustFiles | None = None

    async def files(self, own: OwnRoots, now: datetime, *, with_upstream: bool) -> TrustFiles:
        """Return the files as they are to be now.

        Args:
            own: Our roots.
            now: UTC.
            with_upstream: Whether sidecars want roots of providers.

        Raises:
            ConfigError: They are too large.
            Unavailable: A ConfigMap can't be read.
        """
        sources = TrustSources(
            public_pem=await self._public_pem(),
            roots=own.interception,
            serving_roots=own.serving,
            extra_pem=await self._bundles(EXTRA_BUNDLES),
            upstream_pem=await self._bundles(UPSTREAM_BUNDLES) if with_upstream else None,
        )
        if self._files is None or self._made_at is None or not self._is_made_of(sources, now):
            # A hundred certificates are parsed and written: not on the loop.
            self._files = await asyncio.to_thread(trust_files, sources, now)
            self._sources, self._made_at = sources, now
        return self._files

    def _is_made_of(self, sources: TrustSources, now: datetime) -> bool:
        is_recent = self._made_at is not None and abs(now - self._made_at) < _EXPIRY_LOOKED_AT
        return is_recent and sources == self._sources

    async def _public_pem(self) -> bytes:
        if not self._public:
            self._public = await asyncio.to_thread(Path(certifi.where()).read_bytes)
        return self._public

    async def _bundles(self, name: str) -> Mapping[str, bytes]:
        texts = await self._maps.texts(name) or {}
        return {f"{name}/{key}": text.encode() for key, text in texts.items()}
