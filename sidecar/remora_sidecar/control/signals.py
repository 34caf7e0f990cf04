"""Control calls of programs that tell what became of answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from remora.errors import Unavailable
from remora.ids import new_call_id
from remora_proto.v1 import signals_pb2 as pb
from remora_sidecar.control.admission import Kind
from remora_sidecar.control.handling import STATE, guarded, refused
from remora_sidecar.control.signal_fields import (
    MOST_SIGNALS,
    checked,
    signals_of_json,
    signals_of_protobuf,
)
from remora_sidecar.control.trackers import PROTOBUF
from remora_sidecar.engine.refusal import bad_request
from remora_sidecar.model.refusal import Refusal


@dataclass(slots=True)
class _Sorted:
    """Signals of one call: those that are fit, and why the others are not."""

    fit: list[pb.Signal] = field(default_factory=list)
    refusals: list[pb.SendSignalsResponse.Refusal] = field(default_factory=list)


def add_signals(app: web.Application) -> None:
    """Serve the calls of signals."""
    app.router.add_post("/v1/signals", guarded(Kind.SESSION, _send))
    app.router.add_get("/v1/signals/settings", guarded(Kind.SESSION, _settings))


async def _settings(request: web.Request) -> web.Response:
    """Say what is worth sending: texts, and messages to have a second opinion about."""
    door = request.app[STATE].signals
    told: dict[str, Any] = {"text": door.keeps_text(), "opinion": door.has_opinion()}
    if door.opinions is not None and (rules := door.opinions.rules) is not None:
        told["opinion_below"] = rules.below
    return web.json_response(told)


async def _send(request: web.Request) -> web.Response:
    is_protobuf = request.content_type == PROTOBUF
    content = await request.read()
    try:
        raw = signals_of_protobuf(content) if is_protobuf else signals_of_json(content)
    except ValueError as error:
        return refused(bad_request(f"the signals can't be read: {error}"))
    if len(raw) > MOST_SIGNALS:
        message = f"{len(raw)} signals came in one call: {MOST_SIGNALS} are the most"
        return refused(bad_request(message, 413))
    sorted_out = _sorted(raw, request)
    try:
        taken = await request.app[STATE].signals.outbox.take(sorted_out.fit)
    except Unavailable as error:
        return refused(Refusal(503, "unavailable", "SIGNALS_UNAVAILABLE", str(error)))
    answer = pb.SendSignalsResponse(
        accepted=taken.accepted, known=taken.known, refused=sorted_out.refusals
    )
    return _answer(answer, request)


def _sorted(raw: Sequence[Any], request: web.Request) -> _Sorted:
    state = request.app[STATE]
    now_unix_ns, keeps_text = state.clock.now_unix_ns(), state.signals.keeps_text()
    found = _Sorted()
    for index, one in enumerate(raw):
        try:
            signal = checked(one)
        except ValueError as error:
            refusal = pb.SendSignalsResponse.Refusal(index=index, reason=str(error))
            found.refusals.append(refusal)
            continue
        found.fit.append(
            signal.message(
                made_up_id=new_call_id(now_unix_ns), now_unix_ns=now_unix_ns, keeps_text=keeps_text
            )
        )
    return found


def _answer(answer: pb.SendSignalsResponse, request: web.Request) -> web.Response:
    if PROTOBUF in request.headers.get("Accept", ""):
        content = answer.SerializeToString()
        return web.Response(body=content, status=202, content_type=PROTOBUF)
    told = {
        "accepted": answer.accepted,
        "known": answer.known,
        "refused": [{"index": one.index, "reason": one.reason} for one in answer.refused],
    }
    return web.json_response(told, status=202)
