"""What a back end of the store does for it: transactions that write, and statements that read.

Everything here blocks, and is called in threads. One transaction writes at a time, whoever runs
it: a back end that several aggregators share makes them take turns, so that positions are numbers
in the order of commits and what a transaction reads is still so when it ends.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from remora_aggregator.store.facts import Facts, Value
from remora_aggregator.store.retention import Stock
from remora_aggregator.store.sql import Flavour, Statement
from remora_aggregator.store.totals import PeriodKey, SpanKey, Totals


class CallKey(NamedTuple):
    """Under what a call is stored exactly once: DESIGN §6.7."""

    namespace: str
    call_id: str
    pod_uid: str


class Known(NamedTuple):
    """What is stored under a key."""

    position: int
    revision: int
    started_unix_ns: int


class NewRecord(NamedTuple):
    """A record as it is to be written.

    Attributes:
        message: The record without its bodies, as it came.
        bodies: Its bodies, compressed; None where it has none. Their words are indexed later.
    """

    facts: Facts
    message: bytes
    bodies: bytes | None = None


class Writing(Protocol):
    """A transaction that is under way."""

    def now_unix_ns(self) -> int | None:
        """Tell the time by a clock that all who share the database have; None: there is none."""
        ...

    def known(self, keys: Sequence[CallKey]) -> Mapping[CallKey, Known]:
        """Find what is stored under keys."""
        ...

    def other_pods(self, keys: Sequence[CallKey]) -> set[CallKey]:
        """Say of which keys the call is stored as another pod's."""
        ...

    def places(self, calls: Sequence[tuple[str, str]]) -> Sequence[tuple[CallKey, int]]:
        """Find where calls are stored, given by namespace and id, whichever pods they are of."""
        ...

    def facts_at(self, positions: Sequence[int]) -> Sequence[Facts]:
        """Read the columns of records."""
        ...

    def delete(self, positions: Sequence[int]) -> None:
        """Take records away, with their bodies and words."""
        ...

    def delete_bodies(self, positions: Sequence[int]) -> None:
        """Take bodies away, and the words that they are found by."""
        ...

    def run(self, statement: Statement) -> Sequence["Row"]:
        """Run any statement, and give its rows."""
        ...

    def tuples(
        self, rows: Sequence[tuple[Value, ...]], kinds: Sequence[str]
    ) -> Iterable[Statement]:
        """Write rows as tables that a statement can select from, in as many parts as it takes.

        Args:
            rows: Of values, which become parameters.
            kinds: The type of each column: ``text``, ``bigint`` or ``double precision``.
        """
        ...

    def insert(self, records: Sequence[NewRecord]) -> None:
        """Write records, at positions that grow in their order."""
        ...

    def put_words(self, texts: Mapping[int, str]) -> None:
        """Have records found by the words of their texts, which are given by position."""
        ...

    def periods(self, keys: Iterable[PeriodKey]) -> Mapping[PeriodKey, Totals]:
        """Read totals of periods."""
        ...

    def put_periods(self, totals: Mapping[PeriodKey, Totals]) -> None:
        """Write totals of periods; those that came to nothing are taken away."""
        ...

    def spans(self, keys: Iterable[SpanKey]) -> Mapping[SpanKey, Totals]:
        """Read totals of spans."""
        ...

    def put_spans(self, totals: Mapping[SpanKey, Totals]) -> None:
        """Write totals of spans; those that came to nothing are taken away."""
        ...


type Row = tuple[Value, ...]
type ReadRows[T] = Callable[[Iterable[Row]], T]


class Backend(Protocol):
    """A database that holds records."""

    @property
    def flavour(self) -> Flavour:
        """How it spells SQL."""
        ...

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What it raises where it can't do what it should."""
        ...

    def transaction(self) -> AbstractContextManager[Writing]:
        """Begin a transaction that writes; it is committed at the end, durably, or undone."""
        ...

    def read[T](self, statement: Statement, read: ReadRows[T], abandoned: "Abandoned") -> T:
        """Run a statement and have its rows read.

        Args:
            statement: What to ask.
            read: Takes as many rows as it wants.
            abandoned: Tells whether anybody still waits.
        """
        ...

    def stock(self) -> Stock:
        """Say how much there is, and since when; for the thread that writes."""
        ...

    def tidy(self) -> bool:
        """Give back to the system some room that nobody uses; tells whether there is more to do."""
        ...

    def damage(self) -> str:
        """Look the whole database over; says what is damaged, empty if nothing is."""
        ...

    def listen(self, committed: Callable[[], None]) -> None:
        """Have something called, in any thread, after commits of others who share the database."""
        ...

    def close(self) -> None:
        """Close what is open; nothing may be under way."""
        ...


class Abandoned(Protocol):
    """Whether anybody still waits for an answer."""

    def is_set(self) -> bool:
        """Tell whether nobody does."""
        ...
