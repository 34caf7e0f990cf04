"""Both CAs of an operator, and by whose roots our servers are known."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from cryptography import x509

from remora.errors import Problem
from remora.trust import CA_FILE
from remora_operator.ca.authority import INTERCEPTION, SERVING
from remora_operator.ca.brought import ROOT
from remora_operator.ca.certificates import RandomBytes
from remora_operator.ca.rotation import Rotation
from remora_operator.ca.trust_bundle import parsed_roots
from remora_operator.cluster.api_server import ApiServer
from remora_operator.custody.authority_keeper import AuthorityKeeper, IsPublished, KeptAuthority
from remora_operator.custody.roots_record import RootsRecord
from remora_operator.custody.secret_store import SecretStore
from remora_operator.custody.settings import (
    INTERCEPTION_SECRET,
    SERVING_SECRET,
    CustodySettings,
)
from remora_operator.custody.trust_maps import trusted_roots
from remora_operator.inject.layout import SERVING_CA_FILE


class Authorities:
    """The interception CA, and the serving CA where the operator has one.

    Attributes:
        interception: Signs for sidecars.
        serving: Signs for our servers; None where cert-manager does.
    """

    def __init__(
        self,
        api: ApiServer,
        secrets: SecretStore,
        settings: CustodySettings,
        random_bytes: RandomBytes,
        is_published: IsPublished,
    ) -> None:
        """Take where they are; nothing is read yet."""
        record = RootsRecord(api, settings.namespace)
        make = partial(AuthorityKeeper, secrets=secrets, record=record, random_bytes=random_bytes)
        self.interception = make(
            KeptAuthority(
                INTERCEPTION, INTERCEPTION_SECRET, settings.interception_ca == "selfManaged"
            ),
            evidence=partial(trusted_roots, api, CA_FILE),
            is_published=is_published,
        )
        self.serving: AuthorityKeeper | None = None
        if settings.webhook_certificate == "selfManaged":
            self.serving = make(
                KeptAuthority(SERVING, SERVING_SECRET, renews_itself=True),
                evidence=partial(trusted_roots, api, SERVING_CA_FILE),
                is_published=is_published,
            )
        self._secrets = secrets
        self._servers = (settings.operator, settings.aggregator)
        self._issued: tuple[x509.Certificate, ...] = ()

    @property
    def rotations(self) -> Mapping[str, Rotation]:
        """The CAs that have been read, ``interception`` and ``serving``."""
        keepers = {"interception": self.interception, "serving": self.serving}
        found = {name: one.rotation for name, one in keepers.items() if one is not None}
        return {name: rotation for name, rotation in found.items() if rotation is not None}

    @property
    def interception_roots(self) -> tuple[x509.Certificate, ...]:
        """What agents have to trust now; empty while it is not known."""
        rotation = self.interception.rotation
        return () if rotation is None else rotation.roots

    @property
    def serving_roots(self) -> tuple[x509.Certificate, ...]:
        """What callers of our servers have to trust now; empty while it is not known."""
        if self.serving is None:
            return self._issued
        rotation = self.serving.rotation
        return () if rotation is None else rotation.roots

    async def keep_serving(self, now: datetime, *, leads: bool) -> tuple[Problem, ...]:
        """Read the serving CA, or the roots that cert-manager names in its stead.

        Raises:
            Unavailable: The API server can't be reached, or refuses.
        """
        if self.serving is not None:
            return await self.serving.keep(now, leads=leads)
        return await self._read_issued() if leads else ()

    async def _read_issued(self) -> tuple[Problem, ...]:
        found: dict[x509.Certificate, None] = {}
        problems = []
        for server in self._servers:
            stored = await self._secrets.read(server.secret)
            roots = () if stored is None else parsed_roots(stored.data.get(ROOT, b""))
            if not roots:
                what = (
                    f"has no root in {ROOT}: cert-manager has not issued it, or its issuer has none"
                )
                problems.append(Problem(self._secrets.where(server.secret), what))
            found.update(dict.fromkeys(roots))
        self._issued = tuple(found)
        return tuple(problems)
