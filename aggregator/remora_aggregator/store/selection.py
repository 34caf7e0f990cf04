"""Which records are meant: a filter as conditions, read once at the edge. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt

from remora.client.condition import Operator
from remora.errors import BadRequest
from remora.policy.globs import Glob
from remora_aggregator.store.facts import column_text
from remora_aggregator.store.fields import Field, Kind, Scalar, field_named, values_of
from remora_proto.v1 import records_pb2 as pb

MOST_CONDITIONS = 50
MOST_VALUES = 1_000
_MOST_NS = (1 << 63) - 1
WORD = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f])*")
"""Letters and digits, accents of their own included: what SQLite's index of words takes for one."""

_EQUAL = (
    "call_id", "session_id", "data_id", "combo_id", "agent_id", "task_id",
    "provider", "dialect", "operation", "pod_uid",
)  # fmt: skip


RANGES = {
    Operator.LESS: lt,
    Operator.LESS_OR_EQUAL: le,
    Operator.GREATER: gt,
    Operator.GREATER_OR_EQUAL: ge,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """What one field has to be.

    Attributes:
        values: To compare with; one for a range, none for `PRESENT` and `ABSENT`. For globs text.
    """

    field: Field
    operator: Operator
    values: tuple[Scalar, ...] = ()

    def holds(self, stored: pb.StoredRecord) -> bool:
        """Tell whether a record fits, by its message alone."""
        found = list(values_of(stored, self.field))
        match self.operator:
            case Operator.PRESENT:
                return bool(found)
            case Operator.ABSENT:
                return not found
            case Operator.EQUAL:
                return self._equals(found)
            case Operator.NOT_EQUAL:
                return not self._equals(found)
            case Operator.GLOB:
                return self._globs(found)
            case Operator.NOT_GLOB:
                return not self._globs(found)
            case _:
                return any(RANGES[self.operator](one, self.values[0]) for one in found)

    def _equals(self, found: Sequence[Scalar]) -> bool:
        if not found:
            return "" in self.values
        return any(eq(one, value) for one in found for value in self.values)

    def _globs(self, found: Sequence[Scalar]) -> bool:
        globs = [Glob(str(value)) for value in self.values]
        return any(glob.matches(str(one)) for one in found for glob in globs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which records are meant: those of some namespaces that fit every condition.

    Attributes:
        namespaces: Whose records may be seen; None: everybody's.
        conditions: By columns.
        residual: By what only the message says.
        model: The requested, sent or response model; empty: any.
        since_unix_ns: Calls that began then or later.
        until_unix_ns: Calls that began before.
        words: All of them are in the text that was captured.
    """

    namespaces: tuple[str, ...] | None
    conditions: tuple[Condition, ...] = ()
    residual: tuple[Condition, ...] = ()
    model: str = ""
    since_unix_ns: int = 0
    until_unix_ns: int = 0
    words: tuple[str, ...] = ()

    def holds(self, stored: pb.StoredRecord) -> bool:
        """Tell whether a record that fits by its columns fits altogether."""
        return all(condition.holds(stored) for condition in self.residual)

    def equal(self, column: str) -> str:
        """Give the one text that a column has to be; empty if nothing says so."""
        for condition in self.conditions:
            is_one = condition.operator is Operator.EQUAL and len(condition.values) == 1
            if is_one and condition.field.column == column:
                return str(condition.values[0])
        return ""


def selection(
    wanted: pb.RecordFilter, namespaces: tuple[str, ...] | None, *, only_pod_uid: str = ""
) -> Selection:
    """Read a filter, asked by somebody who may see some namespaces.

    Args:
        wanted: What is asked for.
        namespaces: What may be seen; None: everything.
        only_pod_uid: Nothing but this pod's records may be seen; empty: every pod's.

    Raises:
        BadRequest: It asks for what can't be, or for another namespace.
    """
    conditions = [*_named(wanted), *_conditions(wanted.conditions), *_outcome(wanted)]
    if only_pod_uid:
        conditions.append(Condition(field_named("pod_uid"), Operator.EQUAL, (only_pod_uid,)))
    since, until = wanted.since_unix_nano, wanted.until_unix_nano
    if since and until and since >= until:
        raise BadRequest("`since` must lie before `until`")
    words = tuple(dict.fromkeys(WORD.findall(wanted.text.lower())))
    if wanted.text.strip() and not words:
        raise BadRequest("`text` holds no word to look for")
    return Selection(
        namespaces=_seen(wanted.namespace, namespaces),
        conditions=tuple(one for one in conditions if one.field.column),
        residual=tuple(one for one in conditions if not one.field.column),
        model=column_text(wanted.model),
        since_unix_ns=min(since, _MOST_NS),
        until_unix_ns=min(until, _MOST_NS),
        words=words,
    )


def _seen(wanted: str, namespaces: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if not wanted:
        return namespaces
    if namespaces is not None and wanted not in namespaces:
        reads = ", ".join(namespaces) or "no namespace"
        text = f"this connection reads {reads} only, not {wanted!r}"
        raise BadRequest(text, status=403, code="other_namespace")
    return (wanted,)


def _named(wanted: pb.RecordFilter) -> Iterable[Condition]:
    for name in _EQUAL:
        if value := getattr(wanted, name):
            yield Condition(field_named(name), Operator.EQUAL, (column_text(value),))


def _outcome(wanted: pb.RecordFilter) -> Iterable[Condition]:
    if wanted.outcome in (pb.RecordFilter.OUTCOME_OK, pb.RecordFilter.OUTCOME_ERROR):
        is_error = wanted.outcome == pb.RecordFilter.OUTCOME_ERROR
        yield Condition(field_named("is_error"), Operator.EQUAL, (is_error,))
    elif wanted.outcome != pb.RecordFilter.OUTCOME_ANY:
        raise BadRequest(f"outcome {wanted.outcome} is none that this aggregator knows")


def _conditions(wanted: Sequence[pb.Condition]) -> Iterable[Condition]:
    if len(wanted) > MOST_CONDITIONS:
        raise BadRequest(f"a filter has at most {MOST_CONDITIONS} conditions")
    for message in wanted:
        yield condition(message)


def condition(message: pb.Condition) -> Condition:
    """Read one condition; raises BadRequest where it makes no sense."""
    field = field_named(message.field)
    try:
        operator = Operator(message.operator)
    except ValueError:
        raise BadRequest(
            f"operator {message.operator} is none that this aggregator knows"
        ) from None
    _check_count(field, operator, len(message.values))
    if operator in (Operator.GLOB, Operator.NOT_GLOB):
        return Condition(field, operator, tuple(_pattern(text) for text in message.values))
    _check_comparable(field, operator)
    is_equality = operator in (Operator.EQUAL, Operator.NOT_EQUAL)
    values = ("" if is_equality and not text else field.value_of(text) for text in message.values)
    return Condition(field, operator, tuple(values))


def _check_count(field: Field, operator: Operator, given: int) -> None:
    if operator in (Operator.PRESENT, Operator.ABSENT):
        least, most = 0, 0
    else:
        least, most = 1, 1 if operator in RANGES else MOST_VALUES
    if not least <= given <= most:
        what = f"{least}" if least == most else f"{least} to {most}"
        raise BadRequest(f"{field.path}: {operator.name.lower()} takes {what} values, not {given}")


def _check_comparable(field: Field, operator: Operator) -> None:
    if operator in RANGES and field.kind in (Kind.TRUTH, Kind.ENUM):
        raise BadRequest(f"{field.path} has no order, so {operator.name.lower()} says nothing")


def _pattern(text: str) -> str:
    try:
        return Glob(text).text
    except ValueError as error:
        raise BadRequest(f"the pattern {text[:40]!r} {error}") from None
