"""The resource ``/v1/signals``: what was said of answers."""

from typing import Any, Final

from aiohttp import web
from pydantic import ConfigDict, Field

from remora.cli.signal_table import signal_json
from remora.client.signal import stored_signal_of
from remora_aggregator.service.permissions import Act
from remora_aggregator.service.signal_wire import written
from remora_aggregator.signals.names import call_id_of
from remora_aggregator.signals.ports import SignalPage, SignalSelection
from remora_aggregator.web.answering import in_time, rendered
from remora_aggregator.web.callers import caller_of
from remora_aggregator.web.front import front_of
from remora_aggregator.web.operation import Operation, json_of
from remora_aggregator.web.question import about, moment
from remora_aggregator.web.record_answer import Answer
from remora_aggregator.web.record_answer import moment as moment_field
from remora_aggregator.web.score_parameters import SignalListParameters
from remora_aggregator.web.tasks import asked_namespaces


class SignalAnswer(Answer):
    """What somebody or something said of an answer."""

    model_config = ConfigDict(title="Signal")

    signal_id: str | None
    namespace: str | None
    call_id: str
    kind: str = Field(description="What happened, such as `user_rejected`.")
    source: str | None = Field(
        description="`inferred`, `classified`, `explicit` or `downstream`; the last counts most."
    )
    strength: float | None = Field(description="How good the answer was, from 0 to 1.")
    confidence: float | None = Field(description="How sure that is, from 0 to 1.")
    at: str | None = moment_field("When it arose.")
    received_at: str = moment_field("When it came.")
    reporter: str | None = Field(description="Whose it is: a hash that names nobody.")
    dimension: str | None
    failure_category: str | None
    goal: str | None
    session_id: str | None
    text: str | None = Field(description="Only where policy captures in full.")
    state: str | None = Field(description="`counted`, `overruled` or `waiting`.")
    arm: str | None = Field(description="That gave the answer; null while the record is awaited.")


class SignalPageAnswer(Answer):
    """Some signals, the newest first."""

    model_config = ConfigDict(title="SignalPage")

    signals: list[SignalAnswer]
    next: str | None = Field(description="Ask again with this as `cursor`; null: no more.")


async def list_signals(request: web.Request, asked: SignalListParameters) -> web.StreamResponse:
    """Answer with a page of signals."""
    front = front_of(request)
    with about("namespace"):
        namespaces = asked_namespaces(caller_of(request), asked.namespace)
    with about("call_id"):
        call_id = call_id_of(asked.call_id) if asked.call_id else ""
    now = front.clock.now_unix_ns()
    chosen = SignalSelection(
        namespaces, call_id, asked.session_id, asked.goal, asked.kind,
        moment("since", asked.since, now), moment("until", asked.until, now),
    )  # fmt: skip
    async with in_time(front.bounds):
        with about("cursor"):
            page = await front.signals.signals(chosen, after=asked.cursor, limit=asked.limit)
    return await rendered(lambda: _page(page))


def _page(page: SignalPage) -> dict[str, Any]:
    shown = [signal_json(stored_signal_of(written(kept))) for kept in page.signals]
    return {"signals": shown, "next": page.next_cursor or None}


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/signals", "listSignals", "List what was said of answers",
        parameters=SignalListParameters, handler=list_signals, answer=json_of(SignalPageAnswer),
        act=Act.READ_SIGNALS,
    ),
)  # fmt: skip
