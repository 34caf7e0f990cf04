"""Usage of answers that are made apart from the call that asked for them.

A background response states its usage to whoever reads it first after it ended. That is the
asking call's usage: its record is revised, and no later read counts it again. Kept in memory,
bounded; where the asking call is not known (made by another pod, or long ago) the first read
carries the usage itself.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from remora.records import CallRecord
from remora_sidecar.dialects.base import AnswerFacts, CallRequest
from remora_sidecar.engine.sessions import Session

KEPT_ANSWERS = 10_000
"""Ids of settled answers, and of calls whose answer is still being made."""

KEPT_BODY_BYTES = 16 * 1024 * 1024
"""Bodies captured with calls whose answer is still being made."""

_Key = tuple[str, str]
Taken = tuple[CallRecord, Session]


class Settlement:
    """Settles each answer once, by provider and response id."""

    def __init__(self) -> None:
        """Start without answers."""
        self._pending: OrderedDict[_Key, Taken] = OrderedDict()
        self._pending_bytes = 0
        self._settled: OrderedDict[_Key, None] = OrderedDict()

    def settle(
        self, record: CallRecord, session: Session, request: CallRequest, facts: AnswerFacts
    ) -> Iterator[Taken]:
        """Yield what is to be recorded for a call that ended: it, and what it settles."""
        key = (record.provider, facts.response_id)
        if not facts.response_id:
            yield record, session
        elif request.reads_back:
            yield from self._read_back(key, record, session, facts)
        else:
            if facts.in_background:
                self._asked(key, record, session, facts)
            yield record, session

    def _asked(self, key: _Key, record: CallRecord, session: Session, facts: AnswerFacts) -> None:
        if facts.usage is not None and not facts.pending:
            self._settle(key)
            return
        self._pending[key] = record, session
        self._pending_bytes += _body_bytes(record)
        while len(self._pending) > KEPT_ANSWERS or self._pending_bytes > KEPT_BODY_BYTES:
            _, (oldest, _session) = self._pending.popitem(last=False)
            self._pending_bytes -= _body_bytes(oldest)

    def _read_back(
        self, key: _Key, record: CallRecord, session: Session, facts: AnswerFacts
    ) -> Iterator[Taken]:
        if record.usage is None or record.usage.estimated or facts.pending:
            yield _without_usage(record), session
            return
        asked = self._pending.pop(key, None)
        if asked is not None:
            self._pending_bytes -= _body_bytes(asked[0])
            self._settle(key)
            yield _revised(asked[0], record), asked[1]
            note = f"its usage is counted with call {asked[0].call_id}, which asked for it"
            yield replace(_without_usage(record), notes=(*record.notes, note)), session
        elif facts.in_background and key not in self._settled:
            self._settle(key)
            note = "the call that asked for this answer is not known here: counted with this read"
            yield replace(record, notes=(*record.notes, note)), session
        else:
            yield _without_usage(record), session

    def _settle(self, key: _Key) -> None:
        self._settled[key] = None
        if len(self._settled) > KEPT_ANSWERS:
            self._settled.popitem(last=False)


def _body_bytes(record: CallRecord) -> int:
    bodies = (record.request_body, record.response_body)
    return sum(len(body.content) for body in bodies if body is not None)


def _without_usage(record: CallRecord) -> CallRecord:
    return replace(record, usage=None, cost=None)


def _revised(asked: CallRecord, read: CallRecord) -> CallRecord:
    note = f"its answer was made in the background and read by call {read.call_id}"
    return replace(
        asked,
        revision=asked.revision + 1,
        usage=read.usage,
        cost=read.cost,
        response_model=read.response_model or asked.response_model,
        finish_reason=read.finish_reason,
        tool_names=read.tool_names,
        error=read.error if read.status_code < 400 else asked.error,
        notes=(*asked.notes, note),
    )
