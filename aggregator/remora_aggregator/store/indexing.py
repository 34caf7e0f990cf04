"""The words of captured bodies, put into their index after the bodies themselves were committed.

Finding and writing words costs more than all else of a record that has bodies, so it waits until
nothing else is to be written. `indexing` in the database says up to which position words are in
the index, and how many bodies wait: positions grow in the order of commits, so none is passed over.
Who asks by words has those that wait indexed first (`RecordStore`), and misses no record.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import zstandard

from remora_aggregator.store.captured_text import captured_text
from remora_aggregator.store.port import Abandoned, Backend, Row
from remora_aggregator.store.sql import Flavour, Statement
from remora_proto.v1 import records_pb2 as pb

logger = logging.getLogger(__name__)

SLICE_BODIES: Final = 200
"""How many are indexed in one transaction: whoever reports waits no longer than that takes."""
_SLICE_CHARS: Final = 1024 * 1024

STATE: Final = Statement("select position, bodies from indexing")
"""Up to which position words are in the index, and how many bodies are not."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The texts of bodies that are to be indexed together.

    Attributes:
        after: Up to which position words were in the index when they were read.
        until: Up to which they will be.
        texts: By position; of bodies without text there is none.
        bodies: How many bodies these are.
    """

    after: int
    until: int
    texts: dict[int, str]
    bodies: int


def read_slice(backend: Backend, abandoned: Abandoned) -> Slice | None:
    """Read what is to be indexed next; None: nothing is. It ends soon once it is abandoned."""
    ((after, _),) = backend.read(STATE, list, abandoned)
    statement = Statement(
        f"select position, packed from bodies where position > {backend.flavour.mark} "  # noqa: S608 - our own words
        f"order by position limit {backend.flavour.mark}",
        (after, SLICE_BODIES),
    )
    return backend.read(statement, lambda rows: _slice(int(after or 0), rows), abandoned)


def _slice(after: int, rows: Iterable[Row]) -> Slice | None:
    texts, until, bodies, room = {}, after, 0, _SLICE_CHARS
    for position, packed in rows:
        until = int(position)  # type: ignore[arg-type]  # as the columns say
        bodies += 1
        if text := text_in(until, bytes(packed)):  # type: ignore[arg-type]  # as above
            texts[until] = text
            room -= len(text)
        if room <= 0:
            break
    return Slice(after, until, texts, bodies) if bodies else None


def text_in(position: int, packed: bytes) -> str:
    """Read the text in packed bodies; what can't be read holds none, which is logged."""
    try:
        return captured_text(pb.CallRecord.FromString(zstandard.decompress(packed)))
    except Exception as error:  # noqa: BLE001 - one must not hold up all that come behind it
        # What the error says may be of what they hold.
        why = type(error).__name__
        logger.error("the words of the record at %d can't be read: %s", position, why)
        return ""


def index(backend: Backend, part: Slice) -> int:
    """Put words into the index, in one transaction; returns how many bodies are left.

    Nothing is done where somebody else was quicker.
    """
    with backend.transaction() as writing:
        ((position, waiting),) = writing.run(STATE)
        if position != part.after:
            return int(waiting or 0)
        # Some may have gone since they were read; so those that are left are counted anew.
        rows = writing.run(_between(part, backend.flavour))
        there = {int(at) for (at,) in rows}  # type: ignore[arg-type]  # a number
        writing.put_words({at: text for at, text in part.texts.items() if at in there})
        left = max(0, int(waiting or 0) - len(there))
        writing.run(_moved(part.until, left, backend.flavour))
    return left


def _between(part: Slice, flavour: Flavour) -> Statement:
    return Statement(
        f"select position from bodies where position > {flavour.mark} "  # noqa: S608 - our own words
        f"and position <= {flavour.mark}",
        (part.after, part.until),
    )


def _moved(until: int, left: int, flavour: Flavour) -> Statement:
    mark = flavour.mark
    return Statement(f"update indexing set position = {mark}, bodies = {mark}", (until, left))  # noqa: S608 - our own words
