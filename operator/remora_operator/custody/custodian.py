"""Keeps keys and trust: what every replica reads, and what the leader writes.

One pass looks at everything; passes follow one another each half minute, at once when somebody
calls `Custodian.changed`, and sooner where something failed. Between them the leader looks at the
webhook's ``caBundle``, which GitOps tools like to set back.
"""

import asyncio
import secrets
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self

import grpc
from prometheus_client import CollectorRegistry

from remora.clock import Clock
from remora.errors import ConfigError, Problem, Unavailable
from remora.task_owner import TaskOwner
from remora_operator.ca.certificates import RandomBytes
from remora_operator.ca.rotation import Rotation
from remora_operator.cluster.api_server import ApiServer, Refused
from remora_operator.custody.authorities import Authorities
from remora_operator.custody.metrics import CustodyMetrics, CustodyParts
from remora_operator.custody.moments import wall_time
from remora_operator.custody.problem_board import ProblemBoard
from remora_operator.custody.publication import Publication
from remora_operator.custody.secret_store import SecretStore
from remora_operator.custody.served_tls import ServedTls, serving_problems
from remora_operator.custody.serving_keeper import ServingKeeper
from remora_operator.custody.settings import CustodySettings
from remora_operator.custody.trust_sources import OwnRoots
from remora_operator.inject.config import InjectionConfig

_GATHER_S = 0.2
"""How long a pass waits for more of what `Custodian.changed` tells."""

_OF_THE_LEADER = ("certificates", "webhook", "trust")

type _Work = Callable[[], Awaitable[tuple[Problem, ...]]]


class Custodian:
    """One replica's hand on Secrets, ConfigMaps and its own TLS.

    Use it as a context manager, which has a task of its own, or await `run`.
    """

    def __init__(
        self,
        api: ApiServer,
        clock: Clock,
        settings: CustodySettings,
        *,
        namespaces: Callable[[], frozenset[str] | None],
        is_leader: Callable[[], bool],
        injection: Callable[[], InjectionConfig],
        registry: CollectorRegistry,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> None:
        """Take what it works with; nothing is read yet.

        Args:
            api: Asked and written to.
            clock: By its wall clock certificates begin and end.
            settings: Names, and who keeps what.
            namespaces: Gives the namespaces whose pods are injected; None: not known yet, and no
                trust files are written or deleted.
            is_leader: Tells whether this replica holds the Lease now.
            injection: Gives the configuration of injection as it is now: where trust files come
                from, and whether there are roots of providers.
            registry: Where metrics are shown.
            random_bytes: For serial numbers.
        """
        self._clock = clock
        self._settings = settings
        self._is_leader = is_leader
        self._secrets = SecretStore(api, settings.namespace)
        self._servers = ServingKeeper(self._secrets, random_bytes)
        self._publication = Publication(api, clock, settings, namespaces, injection)
        self._authorities = Authorities(
            api, self._secrets, settings, random_bytes, self._publication.is_published
        )
        self._tls = ServedTls()
        self._board = ProblemBoard()
        self._woken = asyncio.Event()
        self._ready = asyncio.Event()
        self._failed = self._is_away = False
        self._has_ended = False
        self._owner = TaskOwner("custodian")
        parts = CustodyParts(
            self._authorities, self._servers, self._tls, self._publication.maps, self._board
        )
        registry.register(CustodyMetrics(parts))

    async def __aenter__(self) -> Self:
        self._owner.spawn(self.run(), name="keep")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._owner.aclose()

    async def run(self) -> None:
        """Keep everything until cancelled."""
        try:
            while True:
                await self.keep()
                await self._rest()
        finally:
            self._has_ended = True

    async def keep(self) -> None:
        """Look at everything once, and put right what is this replica's to put right.

        Never raises what `remora.errors` knows: that becomes a problem.
        """
        now, leads = wall_time(self._clock), self._is_leader
        self._failed = self._is_away = False
        authorities, server = self._authorities, self._settings.operator
        await self._part(
            "interception CA", lambda: authorities.interception.keep(now, leads=leads())
        )
        await self._part("serving CA", lambda: authorities.keep_serving(now, leads=leads()))
        if leads():
            await self._part("certificates", lambda: self._keep_servers(now))
        await self._part("serving", self._load)
        where, usual = self._secrets.where(server.secret), server.names[0]
        self._board.report("validity", serving_problems(self._tls.leaf, usual, where, now))
        if leads():
            await self._part("webhook", self._keep_webhook)
            await self._part("trust", lambda: self._keep_trust(now))
        else:
            self._step_down()
        if self.is_ready:
            self._ready.set()

    def changed(self) -> None:
        """Look again now: a namespace was selected, the Lease was won, a configuration changed."""
        self._woken.set()

    def rotation(self) -> Rotation:
        """Return the interception CA as it stands now.

        Raises:
            Unavailable: It has not been read yet, or can't be used; the message says why.
        """
        return self._authorities.interception.usable()

    @property
    def tls_context(self) -> ssl.SSLContext:
        """For the webhook's listener, one for good; no handshake succeeds before a certificate."""
        return self._tls.context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Make what a gRPC port is opened with; new connections get the certificate as it is then.

        Raises:
            Unavailable: There is no certificate yet: wait for `ready` first.
        """
        return self._tls.grpc_credentials()

    async def ready(self) -> None:
        """Wait until there is a certificate to serve with, and a CA to sign with."""
        await self._ready.wait()

    @property
    def is_ready(self) -> bool:
        """Whether this replica can serve: a certificate that is valid now, and a CA."""
        is_valid = self._tls.is_valid(wall_time(self._clock)) and not self._has_ended
        return is_valid and self._authorities.interception.rotation is not None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong now, for conditions and ``/readyz``; empty if nothing is."""
        return self._board.problems

    async def _part(self, name: str, work: _Work) -> None:
        """Do one part of a pass; an API server that is away ends the pass, a refusal does not."""
        if self._is_away:
            return
        try:
            problems = await work()
        except ConfigError as error:
            problems = error.problems
        except Unavailable as error:
            self._is_away = not isinstance(error, Refused)
            self._failed = self._failed or self._is_away or _is_brief(error)
            problems = (Problem(name, str(error)),)
        self._board.report(name, problems)

    async def _keep_servers(self, now: datetime) -> tuple[Problem, ...]:
        serving = self._authorities.serving
        if serving is None or serving.rotation is None:
            return ()
        found: list[Problem] = []
        for server in (self._settings.operator, self._settings.aggregator):
            found += await self._servers.keep(server, serving.rotation, now)
        return tuple(found)

    async def _load(self) -> tuple[Problem, ...]:
        secret = self._settings.operator.secret
        stored = await self._secrets.read(secret)
        if stored is not None and self._tls.use(stored):
            return ()
        what = "is not there" if stored is None else "holds no certificate with its key"
        kept = "" if self._tls.leaf is None else "; the last good one is served on"
        return (Problem(self._secrets.where(secret), what + kept),)

    async def _keep_webhook(self) -> tuple[Problem, ...]:
        serving = self._authorities.serving
        if serving is not None and serving.rotation is None:
            return ()
        return await self._publication.keep_webhook(None if serving is None else serving.rotation)

    async def _keep_trust(self, now: datetime) -> tuple[Problem, ...]:
        authorities = self._authorities
        own = OwnRoots(authorities.interception_roots, authorities.serving_roots)
        return await self._publication.keep_trust(own, now)

    def _step_down(self) -> None:
        self._publication.step_down()
        self._servers.ends.clear()
        for part in _OF_THE_LEADER:
            self._board.clear(part)

    async def _rest(self) -> None:
        """Wait until everything is to be looked at again; the leader looks at the webhook."""
        loop, quick_s = asyncio.get_running_loop(), self._settings.quick_poll_s
        due = loop.time() + (quick_s if self._failed else self._settings.poll_s)
        while (left := due - loop.time()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, quick_s)):
                    await self._woken.wait()
                    break
            if self._is_leader() and not self._is_away:
                await self._part("webhook", self._keep_webhook)
            if self._is_away:
                due = min(due, loop.time() + quick_s)
        await asyncio.sleep(_GATHER_S)
        self._woken.clear()


def _is_brief(error: Unavailable) -> bool:
    """Tell whether the API server refused for reasons of its own, which pass."""
    return isinstance(error, Refused) and error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
