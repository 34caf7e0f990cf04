"""Where our roots have to be known: the webhook's ``caBundle``, and every selected namespace.

The leader's work. It also remembers since when they are known everywhere, for the serving CA moves
on by itself only after that.
"""

from collections.abc import Callable
from datetime import datetime

from cryptography import x509

from remora.clock import Clock
from remora.errors import Problem
from remora_operator.ca.rotation import BUNDLE_DELAY, Rotation
from remora_operator.ca.serving import ca_bundle
from remora_operator.cluster.api_server import ApiServer
from remora_operator.custody.cluster_bundles import ClusterBundles
from remora_operator.custody.config_maps import ConfigMaps
from remora_operator.custody.settings import CustodySettings
from remora_operator.custody.trust_maps import TrustMaps
from remora_operator.custody.trust_sources import OwnRoots, TrustSourcesReader
from remora_operator.custody.webhook_trust import WebhookTrust
from remora_operator.inject.config import InjectionConfig

type _Roots = frozenset[x509.Certificate]


class Publication:
    """Makes our roots known.

    Attributes:
        maps: The namespaces' ConfigMaps.
    """

    def __init__(
        self,
        api: ApiServer,
        clock: Clock,
        settings: CustodySettings,
        namespaces: Callable[[], frozenset[str] | None],
        injection: Callable[[], InjectionConfig],
    ) -> None:
        """Take where; nothing is read yet."""
        self.maps = TrustMaps(api)
        self._webhook = WebhookTrust(api, settings.webhook_configuration)
        self._bundles = ClusterBundles(api)
        self._sources = TrustSourcesReader(ConfigMaps(api, settings.namespace))
        self._clock = clock
        self._namespaces = namespaces
        self._injection = injection
        self._reached: dict[str, tuple[_Roots, float]] = {}

    async def keep_webhook(self, serving: Rotation | None) -> tuple[Problem, ...]:
        """See to the ``caBundle``.

        Args:
            serving: The serving CA; None: cert-manager keeps the bundle.

        Raises:
            Unavailable: The API server can't be reached, or refuses.
        """
        if serving is None:
            return await self._webhook.look()
        before = self._reached.pop("webhook", None)
        problems = await self._webhook.keep(ca_bundle(serving))
        if not problems:
            self._mark("webhook", serving.roots, before)
        return problems

    async def keep_trust(self, own: OwnRoots, now: datetime) -> tuple[Problem, ...]:
        """See to the trust files.

        Args:
            own: Our roots; nothing is written while these, or the namespaces, are not known.
            now: UTC.

        Raises:
            ConfigError: The files are too large.
            Unavailable: The API server can't be reached, or refuses.
        """
        before, selected = self._reached.pop("trust", None), self._namespaces()
        if not own.interception or not own.serving or selected is None:
            return ()
        config = self._injection()
        files = await self._sources.files(own, now, with_upstream=config.upstream_ca)
        problems = [Problem("trust files", note) for note in files.notes]
        problems += await self.maps.keep(files, selected)
        if config.trust_source == "clusterTrustBundle":
            problems += await self._bundles.keep(files)
        if not self.maps.lagging:
            self._mark("trust", own.serving, before)
        return tuple(problems)

    def is_published(self, rotation: Rotation) -> bool:
        """Tell whether the serving CA's roots are known everywhere, and have been long enough."""
        known_by = self._clock.monotonic_s() - BUNDLE_DELAY.total_seconds()
        roots = frozenset(rotation.roots)
        return all(
            reached is not None and reached[0] == roots and reached[1] <= known_by
            for reached in (self._reached.get("webhook"), self._reached.get("trust"))
        )

    def step_down(self) -> None:
        """Forget what was known: another replica leads."""
        self._reached.clear()
        self.maps.forget()

    def _mark(
        self,
        where: str,
        roots: tuple[x509.Certificate, ...],
        before: tuple[_Roots, float] | None,
    ) -> None:
        now = frozenset(roots)
        is_same = before is not None and before[0] == now
        since = before[1] if before is not None and is_same else self._clock.monotonic_s()
        self._reached[where] = (now, since)
