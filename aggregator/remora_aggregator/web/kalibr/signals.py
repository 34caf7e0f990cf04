"""Signals: ``/api/v1/intelligence/signals`` and ``/api/v1/signals``, which take the same."""

from typing import Final

from aiohttp import web

from remora_aggregator.service.permissions import Act
from remora_aggregator.signals.kalibr_models import arm_of, call_id_of, pooled
from remora_aggregator.signals.kalibr_runs import Run, begun_by, trial_of
from remora_aggregator.signals.kalibr_signals import (
    ANCHOR,
    SaidSignal,
    evidence_of,
    failure_category_of,
    is_about_session_end,
    words_of,
)
from remora_aggregator.signals.kalibr_spans import name_in
from remora_aggregator.signals.names import is_goal
from remora_aggregator.signals.signal import Signal
from remora_aggregator.web.answering import in_time, json_answer
from remora_aggregator.web.front import front_of
from remora_aggregator.web.kalibr.asking import operation
from remora_aggregator.web.kalibr.bodies import SignalBody
from remora_aggregator.web.kalibr.reading import NothingAsked, body_of, namespace_of
from remora_aggregator.web.kalibr.room import Room, room_of
from remora_aggregator.web.problems import ApiProblem


async def signal(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Take a signal about an answer, or the name of a run that later ones are about."""
    del asked
    body = await body_of(request, SignalBody)
    room, namespace = room_of(request), namespace_of(request)
    if not body.signal_type:
        raise ApiProblem(400, "The signal has no kind.", "bad-member", where="signal_type")
    async with in_time(front_of(request).bounds):
        call_id = await _call_id(room, namespace, body)
        if not call_id:
            return json_answer(
                {"status": "ignored", "reason": "it names neither a trace nor a session we know"}
            )
        if body.signal_type == ANCHOR:
            await _anchored(room, namespace, call_id, body)
        else:
            await _taken(room, namespace, call_id, body)
    return json_answer({"status": "accepted", "trace_id": body.trace_id or call_id})


async def _call_id(room: Room, namespace: str, body: SignalBody) -> str:
    """Say which call a signal is about: by its trace, else the last one of its session."""
    if body.trace_id:
        return call_id_of(body.trace_id)
    session = _session(body)
    run = await room.runs.last_of_session(namespace, session) if session else None
    return "" if run is None else run.call_id


async def _anchored(room: Room, namespace: str, call_id: str, body: SignalBody) -> None:
    model = body.model or body.model_id
    arm = arm_of(model) if model else None
    told = Run(call_id, _goal(body), room.now_ms, arm=arm, session_id=_session(body))
    run = await room.runs.change(
        namespace, call_id, lambda known: told if known is None else begun_by(known, told)
    )
    await _told(room, namespace, run)


async def _taken(room: Room, namespace: str, call_id: str, body: SignalBody) -> None:
    said = said_in(body)
    evidence = evidence_of(said, call_id, room.now_ms)
    if evidence is None:
        return
    run = await room.runs.run(namespace, call_id)
    if run is not None:
        await _told(room, namespace, run)
    kept = Signal(
        namespace, evidence.signal_id, call_id, evidence, room.now_unix_ns,
        dimension=",".join(said.dimensions)[:64],
        failure_category=failure_category_of(evidence),
        goal=run.goal if run is not None and run.goal else _goal(body),
        session_id=said.session_id,
    )  # fmt: skip
    await room.signals.take([kept])


async def _told(room: Room, namespace: str, run: Run) -> None:
    """Have a run's answer be known, so that signals find what they are about."""
    if run.answered is not None:
        await room.signals.take_trials(namespace, [trial_of(run, run.answered)])


def said_in(body: SignalBody) -> SaidSignal:
    """Read a body as the client means it; nothing that a person wrote is taken over."""
    return SaidSignal(
        kind=body.signal_type.lower(),
        source=body.signal_source.lower(),
        strength=body.strength,
        confidence=body.confidence,
        momentum=(body.momentum or body.session_momentum).lower(),
        dimensions=words_of([body.dimension, *body.dimensions]),
        is_session_end=is_about_session_end(body.raw_evidence),
        session_id=_session(body),
        step=int(body.pipeline_step or 0),
    )


def _session(body: SignalBody) -> str:
    return name_in({"session_id": body.session_id}, "session_id")


def _goal(body: SignalBody) -> str:
    goal = pooled(body.goal, body.pipeline_id) if body.goal else ""
    return goal if is_goal(goal) else ""


OPERATIONS: Final = (
    operation("POST", "/api/v1/intelligence/signals", "Signal", signal, Act.SEND_SIGNALS),
    operation("POST", "/api/v1/signals", "EmitSignal", signal, Act.SEND_SIGNALS),
)
