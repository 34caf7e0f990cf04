"""Signals as people and programs write them: kinds in a word, and lines of JSON. Pure."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictStr,
    ValidationError,
)

from remora.client.signal import Signal
from remora.feedback.reporters import reporter_of
from remora.ids import is_call_id
from remora.learning.evidence import Source
from remora.learning.signals import MEANINGS
from remora.outcomes.categories import CATEGORIES

WORDS: Final[Mapping[str, str]] = {
    "accepted": "user_accepted",
    "rejected": "user_rejected",
    "verbatim": "output_used_verbatim",
    "copied": "output_copied",
    "edited": "output_edited",
    "discarded": "output_discarded",
}
"""What people say for the usual kinds."""

_STAMPED: Final = ("namespace", "received_at", "state", "arm")
"""Keys of a stored signal that its sender has no say in; passed over, so that it can be sent on."""
_SHOWN_CHARS = 40


def _call_id(text: str) -> str:
    bare = text.replace("-", "").lower()
    if not is_call_id(bare):
        raise ValueError("it is 32 hex digits, or a UUID")
    return bare


def _category(text: str) -> str:
    if text and text not in CATEGORIES:
        raise ValueError(f"give one of {', '.join(CATEGORIES)}")
    return text


def _moment(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("the time needs a zone, such as Z")
    since = moment - datetime.fromisoformat("1970-01-01T00:00:00Z")
    return max((since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000, 0)


_Share = Annotated[StrictFloat, Field(ge=0, le=1, allow_inf_nan=False)]
_Text = Annotated[StrictStr, BeforeValidator(lambda value: "" if value is None else value)]


class SignalLine(BaseModel):
    """One line: the keys of ``POST /v1/signals``, of which null is as good as missing."""

    model_config = ConfigDict(extra="forbid")

    call_id: Annotated[StrictStr, AfterValidator(_call_id)]
    kind: Annotated[StrictStr, Field(min_length=1)]
    signal_id: _Text = ""
    strength: _Share | None = None
    confidence: _Share | None = None
    source: Literal["inferred", "classified", "explicit", "downstream"] | None = None
    at: StrictStr | None = None
    user: _Text = ""
    reporter: _Text = ""
    dimension: _Text = ""
    failure_category: Annotated[_Text, AfterValidator(_category)] = ""
    goal: _Text = ""
    session_id: _Text = ""
    text: _Text = ""


def read_line(line: str, given: Mapping[str, Any], made_up_id: str) -> Signal:
    """Read a line: a JSON object, or a call id alone where the kind is given.

    Args:
        line: Without its end.
        given: What counts where the line does not say.
        made_up_id: For a signal that names none; one that says when it arose has its own in it, so
            that it counts once however often it is sent.

    Raises:
        ValueError: It is none; says why.
    """
    shown: dict[str, Any] = {"call_id": line}
    if line.startswith("{"):
        try:
            shown = json.loads(line)
        except (ValueError, RecursionError):
            raise ValueError("is no JSON object") from None
    said = {name: one for name, one in shown.items() if name not in _STAMPED and one is not None}
    return signal_of({**given, **said}, made_up_id)


def signal_of(values: Mapping[str, Any], made_up_id: str) -> Signal:
    """Make a signal of what was said; raises ValueError where it is none."""
    if "kind" not in values:
        raise ValueError("kind: say what happened, such as accepted or rejected")
    try:
        line = SignalLine.model_validate(values)
        at_unix_ns = 0 if line.at is None else _moment(line.at)
    except ValidationError as error:
        raise ValueError("; ".join(map(_problem, error.errors(include_url=False)))) from None
    except ValueError:
        raise ValueError(f"at: {line.at!r} is no time such as 2026-11-01T12:00:00Z") from None
    if line.user and line.reporter:
        raise ValueError("give user or reporter, not both")
    source = None if line.source is None else Source[line.source.upper()]
    kind = WORDS.get(line.kind, line.kind)
    if kind not in MEANINGS:
        source = source or Source.EXPLICIT
        if line.strength is None:
            raise ValueError(f"kind: {kind!r} is none that Remora knows; say how good it was, too")
    return Signal(
        call_id=line.call_id,
        kind=kind,
        signal_id=line.signal_id or (_id_of(line) if at_unix_ns else made_up_id),
        source=source,
        strength=line.strength,
        confidence=line.confidence,
        at_unix_ns=at_unix_ns,
        reporter=reporter_of(line.user) if line.user else line.reporter,
        dimension=line.dimension,
        failure_category=line.failure_category,
        goal=line.goal,
        session_id=line.session_id,
        text=line.text,
    )


def _id_of(line: SignalLine) -> str:
    """Give the same id to the same signal."""
    written = json.dumps(line.model_dump(exclude_defaults=True), sort_keys=True)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()


def _problem(error: Any) -> str:
    """Say what is wrong with a value, without what stood there: it may be a user's text."""
    where = ".".join(str(part)[:_SHOWN_CHARS] for part in error["loc"]) or "the line"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}"
