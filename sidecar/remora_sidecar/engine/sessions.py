"""Sessions: spans of attribution that agents open, and what their calls added up to.

Kept in memory, bounded; an ended session stays known so that late calls still find it.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Protocol

from remora.ids import DEFAULT_SESSION_ID, new_session_id
from remora.records import CallRecord
from remora.routing import RouteContext
from remora_sidecar.engine.session_router import Advice

MAX_SESSIONS = 10_000
"""More than this many: the oldest ended ones are forgotten first, then the oldest."""

MAX_ENDED = 2_000
"""Ended sessions that are still known, for calls that come late."""

KEPT_RECORDS = 100
"""Of a session, for routers that ask for its history."""

_MAX_MODELS = 100


@dataclass(slots=True)
class ModelTotals:
    """What the calls of one model added up to; cost is None while nothing is priced."""

    calls: int = 0
    errors: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    unread_usage: int = 0
    unpriced: int = 0
    latency_s: float = 0.0
    cost_usd: Decimal | None = None

    def add(self, record: CallRecord) -> None:
        """Count one call; of a revised record only the usage, which it came with."""
        if record.revision:
            self._add_usage(record)
            return
        self.calls += 1
        self.errors += record.error is not None
        self.cached += record.cached
        self.latency_s += record.latency_s
        if record.usage is None:
            self.unread_usage += record.error is not None and record.status_code in (101, 200)
        if not record.cached:  # its usage is that of the call that made the answer
            self._add_usage(record)

    def _add_usage(self, record: CallRecord) -> None:
        if record.usage is not None:
            self.input_tokens += record.usage.input_tokens or 0
            self.output_tokens += record.usage.output_tokens or 0
            self.unpriced += record.cost is None
        if record.cost is not None:
            self.cost_usd = (self.cost_usd or Decimal(0)) + record.cost.total_usd


class Advisor(Protocol):
    """Routes the calls of a session, wherever it runs."""

    async def ask(self, context: RouteContext, *, has_body: bool = True) -> Advice:
        """Say which model a call is to ask for; never raises."""
        ...

    def close(self, why: str) -> None:
        """Let all calls that wait go on as they were."""
        ...


@dataclass(slots=True)
class Session:
    """One span of attribution.

    Attributes:
        goal: What its calls are for, unless they say otherwise.
        tracker_id: Of the tracker that opened it; empty if none did.
        is_cached: Whether its calls may be answered from the cache, where policy has one.
        is_own: The sidecar itself opened it, for what it asks of models.
    """

    session_id: str
    created_unix_ns: int
    data_id: str = ""
    combo_id: str = ""
    agent_id: str = ""
    task_id: str = ""
    tracker_id: str = ""
    is_cached: bool = True
    ended: bool = False
    in_flight: int = 0
    holders: int = 0
    totals: dict[str, ModelTotals] = field(default_factory=dict)
    history: deque[CallRecord] = field(default_factory=lambda: deque(maxlen=0))
    router: Advisor | None = None
    goal: str = ""
    is_own: bool = False

    @property
    def is_named(self) -> bool:
        """Whether somebody opened it: it is not the one of calls that name none."""
        return self.session_id != DEFAULT_SESSION_ID

    def keep_history(self) -> None:
        """Keep the records of the last calls from now on, for routers that learn from them."""
        if self.history.maxlen == 0:
            self.history = deque(maxlen=KEPT_RECORDS)

    def attach_router(self, router: Advisor) -> None:
        """Ask this router about calls from now on, and no other any more."""
        self.keep_history()
        older, self.router = self.router, router
        if older is not None:
            older.close("was replaced by another connection")

    def detach_router(self, router: Advisor) -> None:
        """Ask this router no more."""
        if self.router is router:
            self.router = None

    def end(self) -> None:
        """Take no more advice: late calls are counted, and go as they are."""
        self.ended = True
        self.router = None
        self.history = deque(maxlen=0)

    def add(self, record: CallRecord) -> None:
        """Count one call under the model it shows."""
        if self.history.maxlen:
            self.history.append(replace(record, request_body=None, response_body=None))
        model = record.model or "unknown"
        if model not in self.totals and len(self.totals) >= _MAX_MODELS:
            model = "other models"
        totals = self.totals.get(model)
        if totals is None:
            totals = self.totals[model] = ModelTotals()
        totals.add(record)


class Sessions:
    """All sessions of this sidecar."""

    def __init__(self, now_unix_ns: int) -> None:
        """Start with the default session alone."""
        self.default = Session(DEFAULT_SESSION_ID, now_unix_ns)
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._ended: OrderedDict[str, Session] = OrderedDict()
        self._own: dict[str, Session] = {}

    def open_own(self, now_unix_ns: int, agent_id: str) -> Session:
        """Open a session of the sidecar's own; it is never forgotten and nobody ends it."""
        session = Session(new_session_id(), now_unix_ns, agent_id=agent_id, is_own=True)
        session.keep_history()
        self._own[session.session_id] = session
        return session

    def open(
        self,
        now_unix_ns: int,
        *,
        data_id: str = "",
        combo_id: str = "",
        agent_id: str = "",
        task_id: str = "",
        tracker_id: str = "",
        is_cached: bool = True,
        goal: str = "",
    ) -> Session:
        """Open a session with a new unguessable id."""
        session = Session(
            new_session_id(), now_unix_ns, data_id, combo_id, agent_id, task_id, tracker_id,
            is_cached, goal=goal,
        )  # fmt: skip
        self._open[session.session_id] = session
        self._bound()
        return session

    def get(self, session_id: str) -> Session | None:
        """Find a session, ended or not."""
        if session_id == DEFAULT_SESSION_ID:
            return self.default
        found = self._open.get(session_id) or self._ended.get(session_id)
        return found or self._own.get(session_id)

    def end(self, session_id: str) -> bool:
        """Mark a session as ended; False if it is unknown."""
        session = self.get(session_id)
        if session is None or session is self.default:
            return False
        if self._open.pop(session_id, None) is not None:
            self._ended[session_id] = session
            session.end()
            self._bound()
        return True

    def all(self) -> list[Session]:
        """List every session: the default one, those that are open, those that have ended."""
        opened = (*self._open.values(), *self._ended.values(), *self._own.values())
        return [self.default, *opened]

    def _bound(self) -> None:
        while len(self._ended) > MAX_ENDED or len(self._ended) + len(self._open) > MAX_SESSIONS:
            oldest = self._ended or self._open
            oldest.popitem(last=False)
