"""Which session, task and trace a call belongs to. Pure."""

import re
from typing import NamedTuple

from remora.ids import DEFAULT_SESSION_ID
from remora.records import Attribution
from remora_sidecar.engine.headers import ours
from remora_sidecar.engine.sessions import Session, Sessions
from remora_sidecar.model.exchange import Headers, header

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_MAX_ID_CHARS = 256


class Attributed(NamedTuple):
    """A call's attribution, the session that counts it, and what is worth a note."""

    attribution: Attribution
    session: Session
    notes: tuple[str, ...] = ()


def attribute(headers: Headers, proxy_user: str, sessions: Sessions, call_id: str) -> Attributed:
    """Work out whose call this is.

    ``remora-*`` headers win over the session's own fields, field by field. An unknown
    session is recorded under the default one, and said. The trace is W3C traceparent's,
    else the call's own id.
    """
    fields = ours(headers)
    if fields:
        fields = {name: value[:_MAX_ID_CHARS] for name, value in fields.items()}
    session, notes = _session(fields.get("remora-session") or proxy_user, sessions)
    trace_id, span_id = _trace(headers, call_id)
    attribution = Attribution(
        session_id=session.session_id,
        data_id=fields.get("remora-data-id") or session.data_id,
        combo_id=fields.get("remora-combo-id") or session.combo_id,
        agent_id=fields.get("remora-agent-id") or session.agent_id,
        task_id=fields.get("remora-task") or session.task_id,
        trace_id=trace_id,
        parent_span_id=span_id,
    )
    return Attributed(attribution, session, notes)


def _session(session_id: str, sessions: Sessions) -> tuple[Session, tuple[str, ...]]:
    if not session_id or session_id == DEFAULT_SESSION_ID:
        return sessions.default, ()
    session = sessions.get(session_id)
    if session is None:
        return sessions.default, (
            "the call named an unknown session; it is counted under the default one",
        )
    return session, ()


def _trace(headers: Headers, call_id: str) -> tuple[str, str]:
    stated = header(headers, b"traceparent")
    match = None if stated is None else _TRACEPARENT.fullmatch(stated)
    if match is None or not match[1].strip("0") or not match[2].strip("0"):
        return call_id, ""
    return match[1], match[2]
