"""Which session, task and trace a call belongs to. Pure."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from remora.ids import DEFAULT_SESSION_ID
from remora.learning.decision import Risk
from remora.records import Attribution
from remora_sidecar.engine.goal import (
    BAD_GOAL,
    BAD_RISK,
    GOAL_HEADER,
    RISK_HEADER,
    goal_in_header,
    risk_in_header,
)
from remora_sidecar.engine.headers import ours
from remora_sidecar.engine.sessions import Session, Sessions
from remora_sidecar.model.exchange import Headers, header

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_MAX_ID_CHARS = 256

type _Purpose = tuple[str, Risk | None, tuple[str, ...]]

_UNSTATED: _Purpose = ("", None, ())


class Trace(NamedTuple):
    """A trace, and the span of it that asks."""

    trace_id: str
    span_id: str


class Attributed(NamedTuple):
    """A call's attribution, the session that counts it, and what is worth a note.

    Attributes:
        risk: That the call states for learned routing; None if it states none.
    """

    attribution: Attribution
    session: Session
    notes: tuple[str, ...] = ()
    risk: Risk | None = None


def attribute(headers: Headers, proxy_user: str, sessions: Sessions, call_id: str) -> Attributed:
    """Work out from its headers whose call this is; see `attributed`."""
    trace = trace_of(header(headers, b"traceparent"))
    return attributed(ours(headers), trace, proxy_user, sessions, call_id)


def attributed(
    fields: Mapping[str, str],
    trace: Trace | None,
    proxy_user: str,
    sessions: Sessions,
    call_id: str,
) -> Attributed:
    """Work out whose call this is.

    ``remora-*`` fields win over the session's own, field by field. An unknown session is
    recorded under the default one, and said. A call that says of no trace begins one, under
    its own id.
    """
    goal, risk, unread = _UNSTATED
    if fields:
        goal, risk, unread = _purpose(fields)
        fields = {name: value[:_MAX_ID_CHARS] for name, value in fields.items()}
    session, notes = _session(fields.get("remora-session") or proxy_user, sessions)
    trace_id, span_id = trace or (call_id, "")
    attribution = Attribution(
        session.session_id,
        fields.get("remora-data-id") or session.data_id,
        fields.get("remora-combo-id") or session.combo_id,
        fields.get("remora-agent-id") or session.agent_id,
        fields.get("remora-task") or session.task_id,
        trace_id,
        span_id,
        goal or session.goal,
    )
    return Attributed(attribution, session, (*notes, *unread), risk)


def _purpose(fields: Mapping[str, str]) -> _Purpose:
    """Read what a call says that it is for, and how much may be left to chance in it."""
    notes = []
    goal = risk = None
    if (said := fields.get(GOAL_HEADER)) is not None and (goal := goal_in_header(said)) is None:
        notes.append(BAD_GOAL)
    if (said := fields.get(RISK_HEADER)) is not None and (risk := risk_in_header(said)) is None:
        notes.append(BAD_RISK)
    return goal or "", risk, tuple(notes)


def _session(session_id: str, sessions: Sessions) -> tuple[Session, tuple[str, ...]]:
    if not session_id or session_id == DEFAULT_SESSION_ID:
        return sessions.default, ()
    session = sessions.get(session_id)
    if session is None:
        return sessions.default, (
            "the call named an unknown session; it is counted under the default one",
        )
    return session, ()


def trace_of(stated: str | None) -> Trace | None:
    """Read W3C traceparent; None if there is none that is valid."""
    match = None if stated is None else _TRACEPARENT.fullmatch(stated)
    if match is None or not match[1].strip("0") or not match[2].strip("0"):
        return None
    return Trace(match[1], match[2])
