"""The composition root: builds one replica of the operator, and runs it.

The order is what starts need: the status listener answers from the beginning, then the cluster is
read, then there is a certificate, and only then the webhook and the sidecars' services listen.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry

from remora import __version__
from remora.clock import Clock, SystemClock
from remora.task_owner import TaskOwner
from remora_operator.cluster.api_server import ApiServer
from remora_operator.cluster.controllers import Controllers
from remora_operator.cluster.server_version import has_native_sidecars
from remora_operator.custody.custodian import Custodian
from remora_operator.custody.settings import CustodySettings
from remora_operator.delivery.certificate_service import CertificateService
from remora_operator.delivery.policy_service import PolicyService, hosts_from
from remora_operator.delivery.serving import Services, serving_grpc
from remora_operator.delivery.token_review import TokenReviews
from remora_operator.inject import InjectionConfig
from remora_operator.inject.layout import INJECTION_LABEL
from remora_operator.injection_file import InjectionFile
from remora_operator.policies import Answers, PodFacts, PolicyShelf
from remora_operator.settings import OperatorSettings
from remora_operator.status_server import serving_status
from remora_operator.webhook.events import EventWriter
from remora_operator.webhook.metrics import WebhookMetrics
from remora_operator.webhook.notices import Regarding, netinit_failed
from remora_operator.webhook.serving import serving_webhook


@dataclass(frozen=True, slots=True)
class Operator:
    """A running replica.

    Attributes:
        webhook_address: Where the API server's reviews are answered, with the port that was found
            for port 0.
        grpc_address: Where sidecars ask.
        status_address: Where probes and scrapes are answered.
    """

    webhook_address: str
    grpc_address: str
    status_address: str


@asynccontextmanager
async def running_operator(
    settings: OperatorSettings, *, clock: Clock | None = None
) -> AsyncIterator[Operator]:
    """Start a replica and finally stop it.

    Raises:
        ConfigError: Something in the settings can't be used.
    """
    injection = InjectionFile(settings.config)
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(_api_server(settings))
        replica = Replica(settings, injection, api, clock or SystemClock())
        stack.push_async_callback(replica.aclose)
        listening = serving_status(
            settings.status_listen, replica.broken, replica.problems, replica.registry
        )
        status = await stack.enter_async_context(listening)
        replica.start()
        await replica.until_ready()
        webhook = await stack.enter_async_context(replica.webhook())
        sidecars = await stack.enter_async_context(replica.sidecars())
        replica.listens = True
        try:
            yield Operator(webhook, sidecars, status)
        finally:
            replica.listens = False
            # Until the cluster has noticed, it goes on sending reviews here.
            await asyncio.sleep(settings.linger_s)


def _api_server(settings: OperatorSettings) -> ApiServer:
    is_plain = settings.kubernetes_api.startswith("http://")
    return ApiServer(
        settings.kubernetes_api,
        token_file=settings.kubernetes_token_file,
        ca_file=None if is_plain else settings.kubernetes_ca,
    )


class Replica:
    """The parts of one replica, and what hangs between them.

    Attributes:
        registry: What ``/metrics`` shows.
        listens: Whether webhook and services are reached.
    """

    def __init__(
        self, settings: OperatorSettings, injection: InjectionFile, api: ApiServer, clock: Clock
    ) -> None:
        """Build the parts; nothing is begun."""
        self.registry = CollectorRegistry()
        self.listens = False
        self._settings = settings
        self._injection = injection
        self._api = api
        self._clock = clock
        self._has_native_sidecars = True
        self._tasks = TaskOwner("operator")
        self._running: dict[str, asyncio.Task[object]] = {}
        self._identities = TokenReviews(api, clock)
        self._metrics = WebhookMetrics(self.registry)
        self._events = EventWriter(api, clock, registry=self.registry)
        shelf, answers = PolicyShelf(), Answers()
        self._controllers = Controllers(
            api,
            shelf,
            answers,
            identity=f"{settings.replica}_{uuid.uuid4()}",
            namespace=settings.namespace,
            clock=clock,
            registry=self.registry,
            on_namespace=lambda _: self._custodian.changed(),
            on_netinit_failure=self._tell_of_netinit,
            while_leading=[self._begin_to_keep],
        )
        self._custodian = Custodian(
            api,
            clock,
            CustodySettings(
                namespace=settings.namespace,
                webhook_certificate=settings.webhook_certificate,
                interception_ca=settings.interception_ca,
            ),
            namespaces=self._selected,
            is_leader=lambda: self._controllers.is_leader,
            injection=lambda: injection.config,
            registry=self.registry,
        )
        self._services = Services(
            PolicyService(
                self._identities,
                shelf,
                answers,
                version=__version__,
                heard=self._controllers.heard,
            ),
            CertificateService(
                self._identities,
                hosts_from(shelf),
                self._custodian.rotation,
                clock,
                version=__version__,
            ),
        )

    def start(self) -> None:
        """Begin what goes on as long as the replica does."""
        begun = {
            "watching the cluster": self._controllers.run(self._services.policies),
            "keeping certificates": self._custodian.run(),
            "writing events": self._events.run(),
        }
        if self._settings.config is not None:
            begun["reading the configuration"] = self._injection.run()
        for name, work in begun.items():
            self._running[name] = self._tasks.spawn(work, name=name)

    async def aclose(self) -> None:
        """End all that was begun."""
        self._running.clear()
        await self._tasks.aclose()
        await self._identities.aclose()

    async def until_ready(self) -> None:
        """Wait until reviews and sidecars can be answered."""
        await self._controllers.until_ready()
        self._has_native_sidecars = await has_native_sidecars(self._api)
        await self._custodian.ready()

    async def _begin_to_keep(self) -> None:
        """Have certificates and trust files looked after at once by whoever leads from now on."""
        self._custodian.changed()

    def _config(self) -> InjectionConfig:
        """Give the configuration in force, with the shape that this server knows."""
        config = self._injection.config
        if self._has_native_sidecars or not config.native_sidecars:
            return config
        return replace(config, native_sidecars=False)

    def _tell_of_netinit(self, pod: PodFacts, said: str) -> None:
        about = Regarding("v1", "Pod", pod.namespace, pod.name, pod.uid)
        self._events.note(netinit_failed(about, said))

    def webhook(self) -> AbstractAsyncContextManager[str]:
        """Serve the API server."""
        return serving_webhook(
            self._settings.webhook_listen,
            self._custodian.tls_context,
            namespace_of=self._controllers.namespace_of,
            config_of=self._config,
            metrics=self._metrics,
            clock=self._clock,
            told=self._events.tell,
            drain_s=self._settings.drain_s,
        )

    def sidecars(self) -> AbstractAsyncContextManager[str]:
        """Serve sidecars."""
        return serving_grpc(
            self._settings.grpc_listen,
            self._custodian.grpc_credentials(),
            self._services,
            drain_s=self._settings.drain_s,
        )

    def broken(self) -> Sequence[str]:
        """Say what has ended that should not have: only a restart begins it again."""
        return [f"{name} has ended: see the log" for name, t in self._running.items() if t.done()]

    def problems(self) -> Sequence[str]:
        """Say why this replica can't do its work."""
        return tuple(self._why_not())

    def _why_not(self) -> Iterator[str]:
        if not self._controllers.is_ready:
            yield "the cluster has not been read yet"
        if not self._custodian.is_ready:
            found = "; ".join(map(str, self._custodian.problems))
            yield f"there is no certificate to serve and sign with yet: {found or 'it is awaited'}"
        if not self.listens:
            yield "webhook and services are not served now"
        yield from self.broken()

    def _selected(self) -> frozenset[str] | None:
        """Give the namespaces whose pods are injected, or were; None: they are not known yet."""
        if not self._controllers.is_ready:
            return None
        excluded = self._injection.config.excluded_namespaces
        enabled = {
            name
            for name, labels in self._controllers.namespaces()
            if labels.get(INJECTION_LABEL) == "enabled" and name not in excluded
        }
        inhabited = {
            name for name, _ in self._controllers.namespaces() if self._controllers.agents_in(name)
        }
        return frozenset(enabled | inhabited)
