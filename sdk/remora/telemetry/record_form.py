"""In which form the records come that a part exports, and how they are read. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from remora.records import CallRecord

type Resource = Mapping[str, str]
"""What made a call, in OpenTelemetry's words; empty: whoever exports."""

_EXPORTER: Final[Resource] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RecordForm[T]:
    """How records of one form are exported.

    Attributes:
        bare: Takes a record's bodies away, so that none waits in a queue.
        read: Gives the call and what made it; on the export thread.
    """

    bare: Callable[[T], T]
    read: Callable[[T], tuple[CallRecord, Resource]]


def _bare(record: CallRecord) -> CallRecord:
    return replace(record, request_body=None, response_body=None)


def _own(record: CallRecord) -> tuple[CallRecord, Resource]:
    return record, _EXPORTER


OWN_CALLS: Final = RecordForm(bare=_bare, read=_own)
"""Records of calls that the exporter itself carried."""
