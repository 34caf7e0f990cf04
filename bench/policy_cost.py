"""What policy costs a call: deciding, in this process, with no socket and no engine around it."""

import gc
import time
from statistics import median

from bench.asking import CHAT_PATH, OPENAI, chat
from bench.figure import Better, Figure, Target
from bench.policies import policy
from bench.scale import Scale
from bench.servers import Bench
from remora.clock import SystemClock
from remora.policy import load_documents
from remora.records import Attribution, Origin
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.engine.course import Course
from remora_sidecar.engine.leg import Leg
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.engine.observation import BodyCapture, Observation, Waiting
from remora_sidecar.engine.pricing import PriceBook
from remora_sidecar.engine.sessions import Session
from remora_sidecar.engine.steering import Refused, Steering
from remora_sidecar.engine.target import Target as CallTarget
from remora_sidecar.model.exchange import RequestHead
from remora_sidecar.policy import PolicySnapshot, snapshot_from_documents
from remora_sidecar.settings import SidecarSettings
from remora_sidecar.steering_opening import open_steering

_LIMIT_US = 50.0
_ROUTES = 100
_BUDGETS = 20
_CALLS = 2_000
_AT_ONCE = 100


def policy_cost(_: Bench, scale: Scale) -> list[Figure]:
    """Decide about calls by policies of several sizes, in turns."""
    sizes: dict[tuple[int, int], list[float]] = {(_ROUTES, _BUDGETS): [], (20, 0): [], (1, 0): []}
    deciders = {size: _Decider(*size) for size in sizes}
    gc.collect()
    gc.freeze()  # as the sidecar does once it is ready: the price list is large
    for _round in range(scale.rounds):
        for size, rounds in sizes.items():
            rounds.append(_us_per_call(deciders[size]))
    return [_figure(routes, budgets, rounds) for (routes, budgets), rounds in sizes.items()]


def _figure(routes: int, budgets: int, rounds: list[float]) -> Figure:
    is_barred = (routes, budgets) == (_ROUTES, _BUDGETS)
    title = f"deciding about a call, {routes} routes and {budgets} budgets"
    return Figure(
        f"policy_us_{routes}_{budgets}",
        title if is_barred else f"… {routes} routes and {budgets} budgets",
        "µs",
        Target(Better.LESS, _LIMIT_US, unit=" µs") if is_barred else None,
        values={"remora": median(rounds)},
        rounds={"remora": rounds},
        verdict=median(rounds),
        verdict_unit=" µs",
        note="of the request of 1.6 KB; the last route takes it, its router weighs two models",
    )


def _us_per_call(decider: "_Decider") -> float:
    """Decide, and give back outside of the time what was held."""
    taken_ns = 0
    for _ in range(_CALLS // _AT_ONCE):
        begun = time.thread_time_ns()
        courses = [decider.course() for _ in range(_AT_ONCE)]
        taken_ns += time.thread_time_ns() - begun
        decider.give_back(courses)
    return taken_ns / 1000 / _CALLS


class _Decider:
    """Decides about one call again and again."""

    def __init__(self, routes: int, budgets: int) -> None:
        documents = load_documents({"bench": policy(routes=routes, budgets=budgets)})
        self._snapshot = snapshot_from_documents(documents, {})
        self._steering = _steering(self._snapshot)
        self._session, self._own, self._seen = Session("bench", 0), _own(self._snapshot), _seen()

    def course(self) -> Course:
        """Decide, and make the request that goes out."""
        situation = self._steering.situation(
            self._snapshot.rulebook,
            self._own,
            DIALECTS["openai-chat"],
            self._seen,
            self._session,
            "",
        )
        course = self._steering.course(situation)
        if isinstance(course, Refused) or not course.legs[0].leg.body:
            raise RuntimeError("the call was to be let go")
        return course

    def give_back(self, courses: list[Course]) -> None:
        """Refund what the calls hold."""
        for course in courses:
            if course.held is not None and course.held.reservation is not None:
                self._steering.budgeting.ledger.refund(course.held.reservation)


def _steering(snapshot: PolicySnapshot) -> Steering:
    prices = PriceBook()
    prices.load()
    return open_steering(
        SidecarSettings(mode="explicit"),
        snapshot.rulebook.rules,
        SystemClock(),
        prices,
        EngineMetrics(),
    )


def _own(snapshot: PolicySnapshot) -> Leg:
    provider = snapshot.tls_provider(OPENAI)
    if provider is None:
        raise RuntimeError(f"{OPENAI} is not intercepted")
    head = RequestHead("POST", OPENAI, CHAT_PATH, "", ((b"Host", OPENAI.encode()),))
    body = chat().written().partition(b"\r\n\r\n")[2]
    request = DIALECTS["openai-chat"].read_request(head, body)
    return Leg(provider, CallTarget("https", OPENAI, 443, CHAT_PATH), head, request, body)


def _seen() -> Observation:
    clock = SystemClock()
    return Observation(
        call_id="0" * 32,
        clock=clock,
        started_unix_ns=clock.now_unix_ns(),
        started_s=0.0,
        origin=Origin(),
        attribution=Attribution(session_id="s", task_id="t", agent_id="a"),
        provider="openai",
        price_id="openai",
        dialect="openai-chat",
        method="POST",
        url="",
        request_capture=BodyCapture(0),
        response_capture=BodyCapture(0),
        capture="metadata",
        waiting=Waiting(clock),
    )
