"""Selections, pages and sums as SQL of either kind. Pure: values in, statements out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from remora.client.condition import Operator
from remora_aggregator.store.facts import Value
from remora_aggregator.store.fields import Kind, Scalar
from remora_aggregator.store.selection import Condition, Selection

_MODELS: Final = ("requested_model", "sent_model", "response_model")
_NARROW: Final = ("call_id", "session_id", "data_id", "combo_id", "agent_id", "task_id")
"""What leaves few enough records that their times are not worth an index."""

_SIGNS: Final = {
    Operator.LESS: "<",
    Operator.LESS_OR_EQUAL: "<=",
    Operator.GREATER: ">",
    Operator.GREATER_OR_EQUAL: ">=",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and its parameters."""

    sql: str
    parameters: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Flavour:
    """How one database spells what the other spells otherwise.

    Attributes:
        mark: Stands for a parameter.
        like: Matches a column in lower case with a pattern, both to be put in.
        any_text: Stands for any text in such a pattern, and `any_letter` for one character.
        escaped: What stands for itself only if escaped, and as what.
        unindexed: Keeps a column's index out of the plan.
        number: Reads a column of money as a number that orders.
        money_sum: Adds up a column of money.
        words: Chooses positions by words of captured text; the words are its parameter, each time.
        word_joint: Puts words together for it.
        word: Spells a word as its index does.
    """

    mark: str
    like: str
    any_text: str
    any_letter: str
    escaped: tuple[tuple[str, str], ...]
    unindexed: str
    number: str
    money_sum: str
    words: str
    word_joint: str
    word: Callable[[str], str]

    def pattern(self, glob: str) -> str:
        """Write a glob in the database's own way, in lower case."""
        escapes = dict(self.escaped)
        wild = {"*": self.any_text, "?": self.any_letter}
        return "".join(wild.get(one) or escapes.get(one, one) for one in glob.lower())


@dataclass(slots=True)
class Where:
    """Conditions that are joined by ``and``, as they are being written."""

    flavour: Flavour
    conditions: list[str]
    parameters: list[Value]

    def add(self, sql: str, *values: Value) -> None:
        """Add a condition; each ``?`` in it is a parameter."""
        self.conditions.append(sql.replace("?", self.flavour.mark))
        self.parameters += values

    @property
    def sql(self) -> str:
        """What follows ``where``."""
        return " and ".join(self.conditions) or "true"


def where(chosen: Selection, flavour: Flavour) -> Where:
    """Write a selection's conditions by columns."""
    written = where_facts(chosen, flavour)
    if chosen.model:
        ways = " or ".join(f"{column} = ?" for column in _MODELS)
        written.add(f"({ways})", *[chosen.model] * len(_MODELS))
    _add_times(written, chosen)
    if chosen.words:
        words = flavour.word_joint.join(map(flavour.word, chosen.words))
        given = [words] * flavour.words.count("?")
        written.add(f"position in ({flavour.words})", *given)
    return written


def where_facts(
    chosen: Selection, flavour: Flavour, renamed: Mapping[str, str] = MappingProxyType({})
) -> Where:
    """Write namespaces and conditions only: what holds for kept totals as well.

    Args:
        chosen: What is meant.
        flavour: How it is spelled.
        renamed: What columns are called there, where they are called otherwise.
    """
    written = Where(flavour, [], [])
    if chosen.namespaces is not None:
        _add_one_of(written, "namespace", chosen.namespaces)
    for condition in chosen.conditions:
        column = condition.field.column
        _add(written, condition, renamed.get(column, column))
    return written


def _add_times(written: Where, chosen: Selection) -> None:
    is_narrow = any(chosen.equal(column) for column in _NARROW)
    started = "started_unix_ns"
    if is_narrow:
        started = written.flavour.unindexed.format(started)
    if chosen.since_unix_ns:
        written.add(f"{started} >= ?", chosen.since_unix_ns)
    if chosen.until_unix_ns:
        written.add(f"{started} < ?", chosen.until_unix_ns)


def _add_one_of(written: Where, column: str, values: Sequence[Value]) -> None:
    if not values:
        written.add("false")
    elif len(values) == 1:
        written.add(f"{column} = ?", values[0])
    else:
        written.add(f"{column} in ({', '.join('?' * len(values))})", *values)


def _add(written: Where, condition: Condition, column: str) -> None:
    flavour = written.flavour
    is_money = condition.field.kind is Kind.MONEY
    compared = flavour.number.format(column) if is_money else column
    values = [_parameter(value) for value in condition.values]
    match condition.operator:
        case Operator.PRESENT:
            written.add(f"{column} is not null")
        case Operator.ABSENT:
            written.add(f"{column} is null")
        case Operator.EQUAL:
            _add_equal(written, compared, values)
        case Operator.NOT_EQUAL:
            for value in values:
                written.add(f"{compared} is distinct from ?", value)
        case Operator.GLOB | Operator.NOT_GLOB:
            _add_globs(written, condition, column)
        case _:
            written.add(f"{compared} {_SIGNS[condition.operator]} ?", values[0])


def _add_equal(written: Where, column: str, values: Sequence[Value]) -> None:
    stated = [value for value in values if value is not None]
    if len(stated) == len(values):
        _add_one_of(written, column, stated)
    elif not stated:
        written.add(f"{column} is null")
    else:
        marks = ", ".join("?" * len(stated))
        written.add(f"({column} is null or {column} in ({marks}))", *stated)


def _add_globs(written: Where, condition: Condition, column: str) -> None:
    flavour = written.flavour
    patterns = [flavour.pattern(str(value)) for value in condition.values]
    # Numbers and truths are matched as they are written.
    text = f"cast({column} as text)"
    ways = " or ".join(flavour.like.format(text, "?") for _ in patterns)
    if condition.operator is Operator.GLOB:
        written.add(f"({ways})", *patterns)
    else:
        written.add(f"({text} is null or not ({ways}))", *patterns)


def _parameter(value: Scalar) -> Value:
    if value == "" and isinstance(value, str):
        return None
    return float(value) if isinstance(value, Decimal) else value


@dataclass(frozen=True, slots=True)
class Order:
    """In which order records come.

    Attributes:
        column: Empty: as committed.
        is_money: Whether it holds amounts.
    """

    column: str = ""
    is_money: bool = False
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where in an order a record stands; what follows it comes next.

    Attributes:
        value: Of the column that orders; None where the order is that of commits, or nothing is
            stated: that comes last.
    """

    position: int
    value: int | float | None = None


def page(
    chosen: Selection, flavour: Flavour, *, order: Order, after: Place | None, limit: int,
    columns: Iterable[str],
) -> Statement:  # fmt: skip
    """Ask for the records that follow a place."""
    if chosen.model and not order.column:
        return _page_of_model(chosen, flavour, order, after, limit, columns)
    written = where(chosen, flavour)
    key = _key(order, flavour)
    if after is not None:
        _add_place(written, order, key, after)
    if not key and (chosen.since_unix_ns or chosen.until_unix_ns):
        return _page_of_time(written, order, limit, columns)
    shown = ", ".join((*columns, *([key] if key else [])))
    sql = (
        f"select {shown} from records where {written.sql} "  # noqa: S608 - our own words
        f"order by {_ordered(order, key)} limit {flavour.mark}"
    )
    return Statement(sql, (*written.parameters, limit))


def _page_of_model(
    chosen: Selection, flavour: Flavour, order: Order, after: Place | None, limit: int,
    columns: Iterable[str],
) -> Statement:  # fmt: skip
    """Walk the index of each column that may name the model, and take the first of all."""
    ways, parameters = [], []
    for column in _MODELS:
        written = where(replace(chosen, model=""), flavour)
        written.add(f"{column} = ?", chosen.model)
        if after is not None:
            _add_place(written, order, "", after)
        ways.append(
            f"select * from (select position from records where {written.sql} "  # noqa: S608 - as above
            f"order by {_ordered(order, '')} limit {flavour.mark}) as way_{column}"
        )
        parameters += [*written.parameters, limit]
    sql = (
        f"select {', '.join(columns)} from records where position in ({' union '.join(ways)}) "  # noqa: S608 - as above
        f"order by {_ordered(order, '')} limit {flavour.mark}"
    )
    return Statement(sql, (*parameters, limit))


def _page_of_time(written: Where, order: Order, limit: int, columns: Iterable[str]) -> Statement:
    """Sort positions alone: of a span of time many records may have to be sorted."""
    mark = written.flavour.mark
    ordered = f"order by {_ordered(order, '')} limit {mark}"
    chosen = f"select position from records where {written.sql} {ordered}"  # noqa: S608 - as above
    sql = f"select {', '.join(columns)} from records where position in ({chosen}) {ordered}"  # noqa: S608 - as above
    return Statement(sql, (*written.parameters, limit, limit))


def _key(order: Order, flavour: Flavour) -> str:
    return flavour.number.format(order.column) if order.is_money else order.column


def _ordered(order: Order, key: str) -> str:
    way = "desc" if order.descending else "asc"
    return f"({key} is null) asc, {key} {way}, position {way}" if key else f"position {way}"


def _add_place(written: Where, order: Order, key: str, after: Place) -> None:
    sign = "<" if order.descending else ">"
    if not key:
        written.add(f"position {sign} ?", after.position)
    elif after.value is None:
        written.add(f"({key} is null and position {sign} ?)", after.position)
    else:
        written.add(
            f"({key} {sign} ? or ({key} = ? and position {sign} ?) or {key} is null)",
            after.value, after.value, after.position,
        )  # fmt: skip
