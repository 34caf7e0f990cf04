"""Which records a program asks for."""

from dataclasses import dataclass, fields
from enum import Enum

from remora.client.condition import Condition
from remora.client.condition import to_message as condition_message
from remora_proto.v1 import records_pb2 as pb


class Outcome(Enum):
    """Whether the calls asked for went well; values are the wire numbers."""

    ANY = 0
    OK = 1
    ERROR = 2


class Order(Enum):
    """In which order records come; values are the wire numbers."""

    OLDEST_FIRST = 0
    NEWEST_FIRST = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """All that is given must match; what is empty does not filter.

    Attributes:
        model: The requested, sent or response model, exactly.
        since_unix_ns: Calls that started then or later; 0: from the beginning.
        until_unix_ns: Calls that started before; 0: without end.
        conditions: On any field of a record; `remora.client.condition.parse_condition` reads them
            as people write them.
        text: Words that captured bodies hold, all of them; finds only what policy kept.
    """

    call_id: str = ""
    session_id: str = ""
    data_id: str = ""
    combo_id: str = ""
    agent_id: str = ""
    task_id: str = ""
    provider: str = ""
    dialect: str = ""
    operation: str = ""
    model: str = ""
    namespace: str = ""
    pod_uid: str = ""
    since_unix_ns: int = 0
    until_unix_ns: int = 0
    outcome: Outcome = Outcome.ANY
    conditions: tuple[Condition, ...] = ()
    text: str = ""


_TEXTS = tuple(f.name for f in fields(RecordFilter) if f.type is str)


def to_message(wanted: RecordFilter) -> pb.RecordFilter:
    """Make the wire form of a filter."""
    message = pb.RecordFilter(
        since_unix_nano=wanted.since_unix_ns,
        until_unix_nano=wanted.until_unix_ns,
        conditions=map(condition_message, wanted.conditions),
    )
    message.outcome = wanted.outcome.value  # type: ignore[assignment]  # the enum's wire number
    for name in _TEXTS:
        setattr(message, name, getattr(wanted, name))
    return message
