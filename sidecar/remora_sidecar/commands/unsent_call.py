"""A call that nobody sends, read as the engine reads those that agents send."""

from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlsplit

from remora.cli.policy_question import PolicyQuestion, UnsentRequest
from remora.errors import BadRequest
from remora.ids import new_call_id
from remora.learning.decision import Risk
from remora.records import Attribution
from remora_sidecar.dialects.base import CallRequest, Dialect
from remora_sidecar.dialects.framing.decoding import decode_body
from remora_sidecar.dialects.registry import dialect_for
from remora_sidecar.engine.arrival import provider_for, request_head, seal_of, sealed_by
from remora_sidecar.engine.attribution import attribute
from remora_sidecar.engine.headers import without_ours
from remora_sidecar.engine.leg import Leg
from remora_sidecar.engine.sessions import Session, Sessions
from remora_sidecar.engine.target import Target
from remora_sidecar.model.exchange import Headers, RequestHead, header
from remora_sidecar.policy import PolicySnapshot


class UnsentCall(NamedTuple):
    """A call as the engine has it before policy is asked.

    Attributes:
        unread_over: The bytes past which its body is not read; None where it was.
        sealed: Why nothing of the request may change; empty if it may.
        risk: That the call states for learned routing; None if it states none.
    """

    own: Leg
    dialect: Dialect
    attribution: Attribution
    session: Session
    unread_over: int | None
    sealed: str
    notes: tuple[str, ...]
    risk: Risk | None = None


def unsent_call(
    question: PolicyQuestion, snapshot: PolicySnapshot, held_body_bytes: int
) -> UnsentCall | None:
    """Read a request; None if it is no provider's that the policy intercepts.

    Raises:
        BadRequest: Its URL is none.
    """
    asked = question.request
    target = target_of(asked.url)
    headers = _headers(asked, target)
    provider = provider_for(snapshot, target, asked.method, headers)
    if provider is None:
        return None
    head = request_head(asked.method, target, without_ours(headers))
    dialect = dialect_for(provider.dialects, head, provider.path_patterns)
    is_held = len(asked.body) <= held_body_bytes
    request, body, problem = _read(asked, head, dialect, held_body_bytes, is_held=is_held)
    whose, session, said, risk = _whose(question, headers)
    keys = snapshot.rulebook.key_plan(provider)
    return UnsentCall(
        own=Leg(provider, target, head, request, body),
        dialect=dialect,
        attribution=whose,
        session=session,
        unread_over=None if is_held else held_body_bytes,
        sealed=sealed_by(seal_of(headers), request, keys, is_held=is_held),
        notes=tuple(filter(None, (*said, problem))),
        risk=risk,
    )


def target_of(url: str) -> Target:
    """Read where a URL leads; raises BadRequest if it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise BadRequest("the URL can't be read: its port is none, or its host") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise BadRequest("a URL begins with https:// or http:// and names a host")
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, parts.hostname, port, f"{parts.path or '/'}{query}")


def _headers(asked: UnsentRequest, target: Target) -> Headers:
    given = [(name.encode("latin-1", "replace"), value.encode()) for name, value in asked.headers]
    return [(b"Host", target.authority.encode()), *given]


def _read(
    asked: UnsentRequest, head: RequestHead, dialect: Dialect, limit: int, *, is_held: bool
) -> tuple[CallRequest, bytes, str]:
    """Read what is asked; gives the decoded body as well, and what is wrong with it."""
    if not is_held:
        request = dialect.read_request(head, b"")._replace(problem="")
        return request, b"", f"the body is larger than {limit} bytes and is not read"
    encoding = header(head.headers, b"content-encoding")
    body, problem = decode_body(encoding, asked.body, limit)
    request = dialect.read_request(head, body)
    return request, body, problem or request.problem


def _whose(
    question: PolicyQuestion, headers: Headers
) -> tuple[Attribution, Session, tuple[str, ...], Risk | None]:
    """Tell whose call it is: what was said of it goes before what its headers say."""
    now_unix_ns = question.asked_unix_ns
    sessions = Sessions(now_unix_ns)
    found = attribute(headers, "", sessions, new_call_id(now_unix_ns))
    said = question.attribution
    given = {name: text for name in said.__slots__ if (text := getattr(said, name))}
    whose = replace(found.attribution, **given)
    session = Session(whose.session_id, now_unix_ns)
    return whose, session, () if said.session_id else found.notes, found.risk
