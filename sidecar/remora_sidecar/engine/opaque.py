"""Records of provider connections that pass, or are blocked, unread."""

from dataclasses import dataclass, replace

from remora.ids import DEFAULT_SESSION_ID, new_call_id
from remora.records import Attribution, CallError, CallRecord, EndReason
from remora_sidecar.engine.parts import EngineParts

_BLOCKED = "a client that speaks only HTTP/2 can't be read, and policy says opaque: block"


@dataclass(frozen=True, slots=True)
class OpaqueConnection:
    """An unread connection to a provider host, as it ended."""

    host: str
    mode: str
    proxy_user: str
    destination: str
    from_agent_bytes: int
    to_agent_bytes: int
    blocked: bool
    duration_s: float


def record_opaque(parts: EngineParts, seen: OpaqueConnection) -> None:
    """Record an unread connection as one opaque call."""
    now_unix_ns = parts.clock.now_unix_ns()
    started_unix_ns = now_unix_ns - int(seen.duration_s * 1e9)
    session = parts.sessions.get(seen.proxy_user or DEFAULT_SESSION_ID) or parts.sessions.default
    provider = parts.policy.tls_provider(seen.host)
    call_id = new_call_id(started_unix_ns)
    attribution = Attribution(
        session_id=session.session_id,
        data_id=session.data_id,
        combo_id=session.combo_id,
        agent_id=session.agent_id,
        task_id=session.task_id,
        trace_id=call_id,
    )
    record = CallRecord(
        call_id=call_id,
        started_unix_ns=started_unix_ns,
        provider=provider.name if provider is not None else "",
        url=f"https://{seen.host}",
        attribution=attribution,
        origin=replace(parts.origin, mode=seen.mode, original_destination=seen.destination),
        end_reason=EndReason.REFUSED if seen.blocked else EndReason.COMPLETED,
        error=CallError("OPAQUE_BLOCKED", _BLOCKED) if seen.blocked else None,
        latency_s=seen.duration_s,
        request_bytes=seen.from_agent_bytes,
        response_bytes=seen.to_agent_bytes,
        opaque=True,
        notes=("the client offers only HTTP/2; the connection was not read",),
    )
    parts.recorder.take(record, session)
