"""Which keys of a record's JSON are shown. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remora.errors import BadRequest
from remora_aggregator.web.record_answer import ALWAYS, RecordAnswer

BODIES: Final = ("request_body", "response_body")
MOST_FIELDS: Final = 100

_KNOWN = frozenset(RecordAnswer.model_fields)
_LABELS = "labels"


@dataclass(frozen=True, slots=True)
class ShownFields:
    """What is asked for of each record; nothing named: all but bodies.

    Attributes:
        paths: Keys, and below objects and lists of objects keys of theirs after a dot.
        bodies: Whether bodies are among them.
    """

    paths: tuple[tuple[str, ...], ...]
    bodies: bool

    def of(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out what was not asked for."""
        if not self.paths:
            return dict(record)
        shown: dict[str, Any] = {name: record[name] for name in ALWAYS}
        for path in self.paths:
            _copy(record, shown, path)
        return shown


def shown_fields(names: Sequence[str], *, bodies: bool) -> ShownFields:
    """Read which fields are asked for.

    Raises:
        BadRequest: The JSON of a record has no such key.
    """
    if len(names) > MOST_FIELDS:
        raise BadRequest(f"at most {MOST_FIELDS} fields can be named")
    paths = tuple(_path(name) for name in dict.fromkeys(names))
    if bodies and paths:
        paths = (*paths, *((name,) for name in BODIES))
    return ShownFields(paths, bodies or any(path[0] in BODIES for path in paths))


def _path(name: str) -> tuple[str, ...]:
    top, dot, rest = name.partition(".")
    if top not in _KNOWN or (dot and not rest):
        raise BadRequest(f"the JSON of a record has no key {name[:60]!r}")
    if top == _LABELS:  # the names of labels have dots of their own
        return (top, rest) if rest else (top,)
    return tuple(name.split("."))


def _copy(given: Mapping[str, Any], into: dict[str, Any], path: Iterable[str]) -> None:
    name, *rest = path
    if name not in given:
        return
    value = given[name]
    if not rest or value is None:
        into[name] = value
    elif isinstance(value, list):
        kept = into.setdefault(name, [{} for _ in value])
        for one, shown in zip(value, kept, strict=True):
            if isinstance(one, dict) and isinstance(shown, dict):
                _copy(one, shown, rest)
    elif isinstance(value, dict):
        _copy(value, into.setdefault(name, {}), rest)
