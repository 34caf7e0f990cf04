"""What a sidecar and a session's router in another process say to each other: JSON. Pure.

The sidecar asks, the process answers; an ask and its answer have the same number. docs/control.md
describes both, so that a router may be written in any language. Nothing in a message is code, or
names any.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, Final, NamedTuple, overload

from google.protobuf import json_format

from remora.record_wire import from_message, to_message
from remora.records import CallRecord
from remora.routing import RouteContext, RoutedSession
from remora_proto.v1 import records_pb2 as pb

MAX_ANSWER_BYTES: Final = 4096
"""A longer message is no answer."""

MAX_MODEL_CHARACTERS: Final = 256

_ERROR = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)


class Ask(NamedTuple):
    """A question of the sidecar's."""

    number: int
    context: RouteContext


class RouterAnswer(NamedTuple):
    """What a router said.

    Attributes:
        number: Of the ask.
        model: None leaves the call as it is.
        error: Class of the exception that the router raised; empty if it raised none.
        is_readable: Whether a model, or none, was named as it should be.
    """

    number: int
    model: str | None
    error: str = ""
    is_readable: bool = True


def record_text(record: CallRecord) -> str:
    """Write a record of a session's history."""
    return json_format.MessageToJson(
        to_message(record), indent=None, preserving_proto_field_name=True
    )


def ask_text(
    number: int, context: RouteContext, history: Sequence[str], *, has_body: bool = True
) -> str:
    """Write an ask.

    Args:
        number: Of the ask.
        context: What the router is told; its history is passed by.
        history: The records to tell, written by `record_text`.
        has_body: Whether the body is told; else it is empty, and said to be left out.

    Raises:
        ValueError: The body can't be written: it is nested too deep.
    """
    told = {
        "request_body": dict(context.request_body) if has_body else {},
        "request_body_left_out": not has_body,
        "provider": context.provider,
        "requested_model": context.requested_model,
        "session": asdict(context.session),
        "candidates": list(context.candidates),
    }
    try:
        members = json.dumps(told)[1:-1]
    except RecursionError as error:
        raise ValueError("the request's body is nested too deep") from error
    records = ", ".join(history)
    return f'{{"ask": {number}, "context": {{{members}, "history": [{records}]}}}}'


def read_ask(text: str | bytes) -> Ask:
    """Read an ask.

    Raises:
        ValueError: The message is none.
    """
    message = _object(text)
    told = message.get("context")
    if not isinstance(told, dict):
        raise ValueError("the message has no context")
    return Ask(_number(message), _context(told))


def answer_text(number: int, model: str | None, error: str = "") -> str:
    """Write an answer."""
    answer: dict[str, Any] = {"ask": number, "model": model}
    if error:
        answer["error"] = error
    return json.dumps(answer)


def read_answer(text: str | bytes) -> RouterAnswer:
    """Read an answer.

    Raises:
        ValueError: The message is none, or does not say what it answers.
    """
    message = _object(text)
    number, model = _number(message), message.get("model", "")
    if (error := message.get("error")) is not None:
        return RouterAnswer(number, None, error=_error_name(error))
    if model is None or _is_model(model):
        return RouterAnswer(number, model)
    return RouterAnswer(number, None, is_readable=False)


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except RecursionError as error:
        raise ValueError("the message is nested too deep") from error
    if not isinstance(message, dict):
        raise ValueError("the message is no JSON object")
    return message


def _number(message: Mapping[str, Any]) -> int:
    number = message.get("ask")
    if type(number) is not int:
        raise ValueError("the message has no number of an ask")
    return number


def _is_model(model: object) -> bool:
    return isinstance(model, str) and 0 < len(model) <= MAX_MODEL_CHARACTERS and model.isprintable()


def _error_name(error: object) -> str:
    """Take an exception's name, and nothing that might be its text."""
    return error if isinstance(error, str) and _ERROR.fullmatch(error) else "unnamed"


def _context(told: Mapping[str, Any]) -> RouteContext:
    body, session = told.get("request_body"), told.get("session")
    session = session if isinstance(session, dict) else {}
    return RouteContext(
        request_body=body if isinstance(body, dict) else {},
        provider=str(told.get("provider") or "unknown"),
        requested_model=str(told.get("requested_model") or ""),
        session=RoutedSession(
            str(session.get("session_id") or ""),
            session.get("data_id"),
            session.get("combo_id"),
            session.get("agent_id"),
        ),
        history=_History(_list(told.get("history"))),
        candidates=tuple(map(str, _list(told.get("candidates")))),
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


class _History(Sequence[CallRecord]):
    """Records that are read when somebody looks at them: most routers do not."""

    def __init__(self, told: Sequence[Any]) -> None:
        self._told = told

    @cached_property
    def _records(self) -> tuple[CallRecord, ...]:
        return tuple(map(_record, self._told))

    @overload
    def __getitem__(self, index: int) -> CallRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[CallRecord]: ...
    def __getitem__(self, index: int | slice) -> CallRecord | Sequence[CallRecord]:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._told)

    def __iter__(self) -> Iterator[CallRecord]:
        return iter(self._records)


def _record(told: Any) -> CallRecord:
    return from_message(json_format.ParseDict(told, pb.CallRecord(), ignore_unknown_fields=True))
