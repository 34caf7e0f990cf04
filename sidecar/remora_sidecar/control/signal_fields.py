"""Signals as programs send them, and as they go on. Pure."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from google.protobuf.message import DecodeError
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StringConstraints,
    ValidationError,
    model_validator,
)

from remora.feedback.reporters import reporter_of
from remora.learning.signals import MEANINGS
from remora.outcomes.categories import CATEGORIES
from remora_proto.v1 import signals_pb2 as pb
from remora_sidecar.control.body_problems import problems_in

MOST_SIGNALS: Final = 100
"""In one call."""
_NS = 1_000_000_000
_LATEST_S = 253_402_300_799
"""The end of the year 9999."""
_SOURCES = {
    "inferred": pb.SIGNAL_SOURCE_INFERRED,
    "classified": pb.SIGNAL_SOURCE_CLASSIFIED,
    "explicit": pb.SIGNAL_SOURCE_EXPLICIT,
    "downstream": pb.SIGNAL_SOURCE_DOWNSTREAM,
}
_SOURCE_NAMES = {number: name for name, number in _SOURCES.items()}


def _moment_ns(value: object) -> object:
    """Read seconds since 1970, or ISO 8601 with a zone; gives nanoseconds."""
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("the time needs a zone, such as Z")
        value = moment.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("give seconds since 1970, or ISO 8601 with a zone")
    if not math.isfinite(value) or not 0 <= value <= _LATEST_S:
        raise ValueError("the time is out of range: give seconds since 1970")
    return int(value * _NS)


def _bare_id(value: object) -> object:
    """Read a call id; a UUID may have its dashes."""
    return value.replace("-", "").lower() if isinstance(value, str) else value


_Share = Annotated[StrictFloat, Field(ge=0, le=1, allow_inf_nan=False)]
_PRINTED = r"^[^\x00-\x1f\x7f]*$"
_CallId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$"), BeforeValidator(_bare_id)]


class NewSignal(BaseModel):
    """What a program may say of an answer.

    Attributes:
        signal_id: The program's own: what comes again under it counts once. Missing: made up.
        kind: One of `remora.learning.signals.MEANINGS`, or another with strength and source.
        at: Of the moment it arose, in nanoseconds since 1970; None: now.
        user: Whose signal it is; goes on as a hash.
        reporter: The same, hashed already.
        text: What the user wrote; goes on only where policy captures in full.
    """

    model_config = ConfigDict(extra="forbid")

    signal_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] | None = None
    call_id: _CallId
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
    strength: _Share | None = None
    confidence: _Share | None = None
    source: Literal["inferred", "classified", "explicit", "downstream"] | None = None
    at: Annotated[int, BeforeValidator(_moment_ns)] | None = None
    user: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    reporter: Annotated[str, StringConstraints(pattern=_PRINTED, max_length=128)] | None = None
    dimension: Annotated[str, StringConstraints(pattern=_PRINTED, max_length=64)] = ""
    failure_category: str = ""
    goal: Annotated[str, StringConstraints(pattern=_PRINTED, max_length=128)] = ""
    session_id: Annotated[str, StringConstraints(pattern=_PRINTED, max_length=256)] = ""
    text: Annotated[str, StringConstraints(max_length=16_384)] = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.kind not in MEANINGS and (self.strength is None or self.source is None):
            raise ValueError("a kind that Remora does not know needs strength and source")
        if self.failure_category and self.failure_category not in CATEGORIES:
            raise ValueError(f"failure_category should be one of {', '.join(CATEGORIES)}")
        if self.user is not None and self.reporter is not None:
            raise ValueError("give user or reporter, not both")
        return self

    def message(self, *, made_up_id: str, now_unix_ns: int, keeps_text: bool) -> pb.Signal:
        """Write it as it goes on.

        Args:
            made_up_id: Its id, where the program gave none.
            now_unix_ns: When it came: nothing arises later.
            keeps_text: Whether what the user wrote may go on.
        """
        return pb.Signal(
            signal_id=self.signal_id or made_up_id,
            call_id=self.call_id,
            kind=self.kind,
            source=_SOURCES.get(self.source or "", pb.SIGNAL_SOURCE_UNSPECIFIED),
            strength=self.strength,
            confidence=self.confidence,
            at_unix_nano=now_unix_ns if self.at is None else min(self.at, now_unix_ns),
            reporter=reporter_of(self.user) if self.user is not None else self.reporter or "",
            dimension=self.dimension,
            failure_category=self.failure_category,
            goal=self.goal,
            session_id=self.session_id,
            text=self.text if keeps_text else "",
        )


class SignalsBody(BaseModel):
    """The body of a call that sends signals; each of them is looked at by itself."""

    model_config = ConfigDict(extra="forbid")

    signals: list[Any]


def signals_of_json(content: bytes) -> list[Any]:
    """Read the signals of a body in JSON, unchecked.

    Raises:
        ValueError: The body is not as it should be; says how.
    """
    try:
        return SignalsBody.model_validate_json(content).signals
    except ValidationError as error:
        raise ValueError(problems_in(error)) from None


def signals_of_protobuf(content: bytes) -> list[Any]:
    """Read the signals of a `remora.v1.SendSignalsRequest`, as JSON would have them.

    Raises:
        ValueError: The body is none.
    """
    try:
        request = pb.SendSignalsRequest.FromString(content)
    except DecodeError:
        raise ValueError("the body is no remora.v1.SendSignalsRequest") from None
    if request.namespace:
        raise ValueError("a sidecar sends signals under its own namespace: give none")
    return [_as_json(signal) for signal in request.signals]


def _as_json(signal: pb.Signal) -> Mapping[str, Any]:
    known = {field.name: value for field, value in signal.ListFields()}
    at_unix_ns = known.pop("at_unix_nano", None)
    if at_unix_ns is not None:
        known["at"] = at_unix_ns / _NS
    if "source" in known:
        known["source"] = _SOURCE_NAMES.get(known["source"], "unknown")
    return known


def checked(raw: object) -> NewSignal:
    """Check a signal.

    Raises:
        ValueError: Says what is wrong, and never what stood there.
    """
    try:
        return NewSignal.model_validate(raw)
    except ValidationError as error:
        raise ValueError(problems_in(error)) from None
