"""The composition root: builds every part of a sidecar from its settings and runs it.

The only place that knows all the rooms. Tests, `remora sidecar` and `remora demo` use it.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from remora import __version__
from remora.clock import Clock, SystemClock
from remora.local_sidecar.addresses import Addresses
from remora.policy import redirect_ports
from remora.records import CallRecord, Origin
from remora.task_owner import TaskOwner
from remora_sidecar.addresses_file import write_addresses
from remora_sidecar.aggregator_opening import aggregator_of
from remora_sidecar.budget_keeping import BudgetKeeping
from remora_sidecar.cache.opening import tell_if_unshared
from remora_sidecar.caching_opening import open_caching
from remora_sidecar.certification import Certification
from remora_sidecar.control.api import control_app
from remora_sidecar.control.daemon import Daemon
from remora_sidecar.control.metrics import (
    watch_cache,
    watch_certificate,
    watch_journal,
    watch_policy,
    watch_spool,
)
from remora_sidecar.control.providers import Providers
from remora_sidecar.control.state import ControlState, Health, Holds
from remora_sidecar.control.status import status_app
from remora_sidecar.data_directory import DataDirectory, read_token
from remora_sidecar.engine import signing
from remora_sidecar.engine.keys import Keys
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.engine.opaque import OpaqueConnection, record_opaque
from remora_sidecar.engine.own_prices import own_prices
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.engine.pricing import PriceBook
from remora_sidecar.engine.recorder import Recorder
from remora_sidecar.engine.server import EngineServer
from remora_sidecar.engine.sessions import Sessions
from remora_sidecar.engine.trackers import Trackers
from remora_sidecar.engine.upstream import Upstream, upstream_context
from remora_sidecar.execution_reports_opening import open_execution_reports
from remora_sidecar.gateway import Gateway
from remora_sidecar.http_serving import serve_http
from remora_sidecar.interceptor.authority import CertificateAuthority
from remora_sidecar.interceptor.layers import DialGuard, Route, TakeOver
from remora_sidecar.interceptor.listener import Interceptor
from remora_sidecar.interceptor.session_ports import SessionPorts, room_for_ports
from remora_sidecar.journal.journal import Journal
from remora_sidecar.learned_opening import ScoreKeeping
from remora_sidecar.live_policy import LivePolicy
from remora_sidecar.model.handoff import Address
from remora_sidecar.openai_opening import open_openai_api
from remora_sidecar.own_signals_opening import open_own_signals
from remora_sidecar.policy import PolicySnapshot
from remora_sidecar.policy.additions import carried_over
from remora_sidecar.policy_files import PolicyFiles
from remora_sidecar.policy_opening import open_policy
from remora_sidecar.redaction_salt import local_salt
from remora_sidecar.settings import SidecarSettings, format_address
from remora_sidecar.signals.own_calls import Way
from remora_sidecar.signals_opening import open_signals
from remora_sidecar.spool.reporter import Reporter
from remora_sidecar.spool.spool import Spool
from remora_sidecar.steering_opening import open_steering
from remora_sidecar.tasks_opening import open_tasks
from remora_sidecar.telemetry_opening import open_telemetry
from remora_sidecar.workflow_runs.runs import WorkflowRuns
from remora_sidecar.workflows_opening import Neighbours, open_workflows

if TYPE_CHECKING:
    from remora.telemetry.export import TelemetryExport

logger = logging.getLogger(__name__)

FLUSH_S = 3.0


@dataclass(slots=True)
class Sidecar:
    """A running sidecar.

    Attributes:
        proxy: Where explicit mode is served.
        control: Where the control listener is.
        status: Where the status listener is.
        skipped: Addresses that the machine does not have.
        gateway: What its command line says, where it is a gateway.
        ports: Those of sessions that have one of their own.
        workflows: Runs of workflows.
    """

    settings: SidecarSettings
    data: DataDirectory
    authority: CertificateAuthority
    parts: EngineParts
    spool: Spool
    journal: Journal
    reporter: Reporter | None
    engine: EngineServer
    interceptor: Interceptor
    export: "TelemetryExport[CallRecord] | None"
    live: LivePolicy
    certification: Certification
    budgets: BudgetKeeping
    scores: ScoreKeeping
    proxy: Address = ("", 0)
    control: Address = ("", 0)
    status: Address = ("", 0)
    ready: bool = False
    holds: Holds = field(default_factory=Holds)
    gateway: Gateway = field(default_factory=Gateway)
    ports: SessionPorts = field(init=False)
    workflows: WorkflowRuns = field(init=False)

    async def apply(self, policy: PolicySnapshot) -> None:
        """Put a changed policy in force; what was added at run time stays, where it may."""
        parts = self.parts
        await _ready_to_sign(policy)
        await self.certification.cover(policy)
        parts.policy = carried_over(parts.policy, policy)
        parts.steering.apply(policy.rulebook)
        parts.prices.use_own(own_prices(policy.effective.providers))
        if policy.cache is not None and parts.caching is not None:
            tell_if_unshared(parts.caching.levels, policy.cache.scope)
            await parts.caching.levels.resize(policy.cache.max_bytes)

    @property
    def addresses(self) -> Addresses:
        """Where the sidecar can be reached."""
        return Addresses(
            proxy=format_address(self.proxy),
            control=format_address(self.control),
            status=format_address(self.status),
            trust_dir=str(self.settings.trust_folder),
            data_dir=str(self.settings.data_dir),
        )

    def health(self) -> Health:
        """Tell whether agents are served, and what is degraded."""
        problems = [*filter(None, (self.spool.problem, self.journal.problem))]
        for part in (self.live, self.certification, self.budgets, self.scores):
            problems.extend(part.problems)
        problems.extend(self.workflows.problems if self.ready else ())
        figures: dict[str, str | int | bool] = {
            "version": __version__,
            "spool_depth": self.spool.depth,
            "records_unwritten": self.spool.unwritten_total,
            "hand_offs": self.engine.connections,
        }
        if self.reporter is not None:
            figures["aggregator_connected"] = self.reporter.connected
            figures["aggregator_version"] = self.reporter.aggregator_version
            figures["tasks_watched"] = self.parts.task_gate.is_watched
            figures.update(self.scores.figures)
            if not self.reporter.connected and self.reporter.problem:
                problems.append(f"records wait in the spool: {self.reporter.problem}")
        return Health(ready=self.ready, problems=tuple(problems), figures=figures)


@asynccontextmanager
async def running_sidecar(
    settings: SidecarSettings,
    *,
    policy: PolicySnapshot | None = None,
    clock: Clock | None = None,
    gateway: Gateway | None = None,
) -> AsyncIterator[Sidecar]:
    """Build, start and finally stop a sidecar, which may be a gateway.

    Raises:
        ConfigError: Something in the settings can't be used.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        data = stack.enter_context(DataDirectory.open(settings.data_dir))
        live = open_policy(settings, data)
        policy_tasks = TaskOwner("policy")
        stack.push_async_callback(policy_tasks.aclose)
        first = policy or live.at_start()
        certification = Certification.open(settings, data, clock)
        metrics, entrance = EngineMetrics(), _Entrance(live, certification)
        watch_policy(metrics.registry, live)
        if certification.client is not None:
            watch_certificate(metrics.registry, certification.client)
        status = status_app(entrance.health, metrics.registry)
        at = await serve_http(stack, status, settings.status_listen, "REMORA_STATUS_LISTEN")
        certification.start(policy_tasks)
        if policy is None:
            policy_tasks.spawn(live.run(), name="changes")
        first = first or await live.first()
        authority = await certification.authority(policy_tasks)
        sidecar = await _build(
            stack, settings, data, live, first, metrics, clock, certification, authority
        )
        sidecar.status, sidecar.gateway = at, gateway or Gateway()
        await _ready_to_sign(first)
        await certification.cover(first)
        await live.attach(sidecar.apply, first)
        await _listen(stack, sidecar)
        tasks = TaskOwner("sidecar")
        stack.push_async_callback(tasks.aclose)
        tasks.spawn(asyncio.to_thread(sidecar.parts.prices.load), name="load prices")
        if sidecar.reporter is not None:
            tasks.spawn(sidecar.reporter.run(), name="reporter")
        sidecar.budgets.start(tasks)
        sidecar.scores.start(tasks)
        if sidecar.export is not None:
            sidecar.export.start()
        write_addresses(sidecar.data.path, sidecar.addresses)
        sidecar.ready = True
        entrance.sidecar = sidecar
        try:
            yield sidecar
        finally:
            sidecar.ready = False
            await policy_tasks.aclose()
            await _drain(sidecar)
            entrance.sidecar = None


async def _ready_to_sign(policy: PolicySnapshot) -> None:
    """Load what signs requests, if policy has keys that do: not while a call waits for it."""
    if policy.rulebook.signs:
        await asyncio.to_thread(signing.load)


def load_policy(settings: SidecarSettings) -> PolicySnapshot:
    """Read and compile the policy documents; raises ConfigError with every problem."""
    return PolicyFiles(settings).load()


class _Entrance:
    """What the status listener says of a sidecar, and while there is none to ask."""

    def __init__(self, live: LivePolicy, certification: Certification) -> None:
        self.sidecar: Sidecar | None = None
        self._live = live
        self._certification = certification

    def health(self) -> Health:
        if self.sidecar is not None:
            return self.sidecar.health()
        problems = (*self._live.problems, *self._certification.problems)
        return Health(False, problems, {"version": __version__})


async def _build(
    stack: AsyncExitStack,
    settings: SidecarSettings,
    data: DataDirectory,
    live: LivePolicy,
    policy: PolicySnapshot,
    metrics: EngineMetrics,
    clock: Clock,
    certification: Certification,
    authority: CertificateAuthority,
) -> Sidecar:
    context = upstream_context(settings.upstream_ca)
    spool = Spool.open(data.path / "spool.db", limit_bytes=settings.spool_bytes, clock=clock)
    stack.callback(spool.close)
    upstream = Upstream(context=context, connect_to=settings.connect_to)
    stack.push_async_callback(upstream.aclose)
    watch_spool(metrics.registry, spool)
    export = open_telemetry(settings, data, metrics, clock)
    loop = asyncio.get_running_loop()
    journal = Journal(data.path / "journal.db", settings.journal_bytes, loop.call_later)
    stack.push_async_callback(journal.aclose)
    watch_journal(metrics.registry, journal)
    take_export = export.take if export is not None else None
    recorder = Recorder(
        spool, metrics, loop.call_soon, take_export, journal, journals_all=not settings.in_pod
    )
    stack.callback(recorder.write_down)
    parts = _parts(settings, policy, clock, recorder, metrics, upstream)
    parts.redaction_salt = local_salt(data.path)
    stack.callback(parts.redaction_worker.shutdown, wait=False, cancel_futures=True)
    parts.caching = open_caching(settings, policy.cache, data, clock)
    watch_cache(metrics.registry, parts.caching.levels)
    stack.push_async_callback(parts.caching.levels.aclose)
    stack.push_async_callback(parts.tasks.aclose)
    engine = EngineServer(parts)
    interceptor = _interceptor(parts, authority, settings, engine.take_over)
    reporter = _reporter(settings, data, spool, clock, parts)
    budgets = BudgetKeeping.open(
        parts.steering.budgeting.ledger, data, aggregator_of(settings), clock
    )
    parts.steering.budgeting.leases = budgets.leases
    if budgets.leases is not None:
        budgets.leases.task_heard = parts.task_gate.take
    return Sidecar(
        settings,
        data,
        authority,
        parts,
        spool,
        journal,
        reporter,
        engine,
        interceptor,
        export,
        live,
        certification,
        budgets,
        ScoreKeeping.open(settings, data, parts, aggregator_of(settings)),
    )


def _parts(
    settings: SidecarSettings,
    policy: PolicySnapshot,
    clock: Clock,
    recorder: Recorder,
    metrics: EngineMetrics,
    upstream: Upstream,
) -> EngineParts:
    prices = PriceBook()
    prices.use_own(own_prices(policy.effective.providers))
    return EngineParts(
        clock=clock,
        policy=policy,
        sessions=Sessions(clock.now_unix_ns()),
        prices=prices,
        steering=open_steering(settings, policy.rulebook.rules, clock, prices, metrics),
        keys=Keys(settings.secrets_dir, os.environ, clock),  # noqa: TID251 - policy names them
        recorder=recorder,
        metrics=metrics,
        upstream=upstream,
        origin=Origin(
            pod_name=settings.pod_name,
            workload=settings.workload,
            node=settings.node,
            sidecar_version=__version__,
            labels=settings.labels,
        ),
        dial_guard=_dial_guard(settings, policy),
        held_body_bytes=settings.held_body_bytes,
        captured_body_bytes=settings.captured_body_bytes,
        answer_headers=settings.answer_headers == "on",
    )


def _dial_guard(settings: SidecarSettings, policy: PolicySnapshot) -> DialGuard:
    """In a pod, explicit connections reach no more than the redirect rules let through."""
    if settings.mode == "explicit":
        return lambda host, port: None
    from remora_sidecar.netinit.dial_rule import dial_refusal
    from remora_sidecar.netinit.settings import read_redirect_settings

    rules = read_redirect_settings(policy_ports=redirect_ports(policy.effective))

    return lambda host, port: dial_refusal(rules, host, port)


def _interceptor(
    parts: EngineParts, authority: CertificateAuthority, settings: SidecarSettings, engine: TakeOver
) -> Interceptor:
    def make_route(mode: str) -> Route:
        return Route(
            policy=lambda: parts.policy,
            tls_context=lambda name: authority.leaf(name).context,
            engine=engine,
            before_answers=parts.recorder.write_down,
            connect_to=settings.connect_to,
            dial_guard=parts.dial_guard,
            mode=mode,
        )

    def opaque_ended(seen: OpaqueConnection) -> None:
        record_opaque(parts, seen)

    return Interceptor(make_route=make_route, opaque_ended=opaque_ended, clock=parts.clock)


def _reporter(
    settings: SidecarSettings, data: DataDirectory, spool: Spool, clock: Clock, parts: EngineParts
) -> Reporter | None:
    if (target := aggregator_of(settings)) is None:
        return None
    return Reporter(
        spool,
        target,
        pod_uid=settings.pod_uid or data.installation_id,
        sidecar_version=__version__,
        origin=parts.origin,
        policy=lambda: (parts.policy.name, parts.policy.version),
        clock=clock,
    )


async def _listen(stack: AsyncExitStack, sidecar: Sidecar) -> None:
    settings, interceptor = sidecar.settings, sidecar.interceptor
    stack.push_async_callback(interceptor.aclose)
    await interceptor.listen(settings.mode, settings.listen)
    if settings.mode == "transparent":
        await interceptor.listen(
            "explicit", [settings.session_listen], setting="REMORA_SESSION_LISTEN"
        )
    sidecar.proxy = interceptor.addresses["explicit"][0]
    sidecar.parts.takes_any_host = sidecar.gateway.takes_any_host
    sidecar.ports = SessionPorts(
        interceptor,
        sidecar.parts.sessions,
        host=sidecar.proxy[0],
        max_ports=room_for_ports(settings.session_ports),
    )
    tasks = TaskOwner("session ports")
    stack.push_async_callback(tasks.aclose)
    tasks.spawn(sidecar.ports.run(), name="timer")
    state = _control_state(sidecar, stack)
    sidecar.workflows = state.workflows
    await sidecar.workflows.take_up()
    app = control_app(state)
    sidecar.control = await serve_http(stack, app, settings.control_listen, "REMORA_CONTROL_LISTEN")


def _control_state(sidecar: Sidecar, stack: AsyncExitStack) -> ControlState:
    parts, settings, target = sidecar.parts, sidecar.settings, aggregator_of(sidecar.settings)
    token_file, flush_s = settings.admin_token_file, _flush_s(settings)
    door = open_signals(stack, settings, parts, target, flush_s)
    way = Way(sidecar.proxy, lambda: sidecar.authority.root_pem)
    openai = open_openai_api(stack, parts, way, sidecar.data.path)
    tasks = open_tasks(stack, settings, parts, target, sidecar.reporter)
    reports = open_execution_reports(stack, settings, sidecar.data, parts, target, flush_s)
    beside = Neighbours(openai.offers, sidecar.spool, tasks, reports)
    return ControlState(
        clock=parts.clock,
        sessions=parts.sessions,
        trackers=Trackers(parts.sessions),
        journal=sidecar.journal,
        health=sidecar.health,
        policy_view=lambda: sidecar.live.view(parts.policy),
        metrics=parts.metrics.registry,
        admin_token=read_token(token_file) if token_file else sidecar.data.admin_token,
        trust_dir=settings.trust_folder,
        ca_pem=sidecar.authority.root_pem.decode(),
        proxy_address=format_address(sidecar.proxy),
        mode=settings.mode,
        in_pod=settings.in_pod,
        version=__version__,
        providers=_providers(sidecar),
        cache=lambda: parts.caching.levels if parts.caching and parts.policy.cache else None,
        holds=sidecar.holds,
        daemon=Daemon(sidecar.ports, sidecar.gateway.routers),
        hosts=sidecar.gateway.hosts,
        signals=open_own_signals(stack, parts, door, way, sidecar.data.path),
        openai=openai,
        tasks=tasks,
        workflows=open_workflows(stack, parts, way, sidecar.data.path, beside),
        max_order_bytes=settings.held_body_bytes,
    )


def _providers(sidecar: Sidecar) -> Providers:
    def replace(snapshot: PolicySnapshot) -> None:
        sidecar.parts.policy = snapshot

    return Providers(
        policy=lambda: sidecar.parts.policy,
        replace=replace,
        may_sign=sidecar.authority.may_sign,
    )


def _flush_s(settings: SidecarSettings) -> float:
    return min(FLUSH_S, settings.drain_s) if settings.flush_s is None else settings.flush_s


async def _drain(sidecar: Sidecar) -> None:
    """Let calls in flight end, cut the rest, deliver what can be delivered."""
    sidecar.ports.stop_listening()
    sidecar.interceptor.stop_listening()
    await sidecar.engine.aclose(sidecar.settings.drain_s)
    # Unread connections become records as they end, which is to be delivered as well.
    await sidecar.interceptor.aclose()
    sidecar.parts.recorder.write_down()
    within_s = _flush_s(sidecar.settings)
    deliveries: list[Awaitable[object]] = [
        sidecar.budgets.aclose(within_s),
        sidecar.scores.aclose(),
    ]
    if sidecar.reporter is not None:
        deliveries.append(sidecar.reporter.flush(within_s))
    if sidecar.export is not None:
        deliveries.append(sidecar.export.aclose(within_s))
    await asyncio.gather(*deliveries)
