"""A request as it arrives: where it goes, what its head says, and whether it may change. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from remora.providers import Provider
from remora_sidecar.cache.directives import Directives, read_directives
from remora_sidecar.dialects.base import CallRequest
from remora_sidecar.dialects.registry import UNKNOWN, dialect_for
from remora_sidecar.engine.headers import ours, without_ours
from remora_sidecar.engine.target import Target, locate
from remora_sidecar.model.exchange import Headers, RequestHead, header
from remora_sidecar.model.handoff import HandOff
from remora_sidecar.model.redaction import url_without_credentials
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.model.signature import is_signed
from remora_sidecar.policy import PolicySnapshot
from remora_sidecar.policy.key_plan import KeyPlan

_KEPT_HEADS = 256

_EACH_TIME = frozenset(
    {
        b"content-length", b"traceparent", b"tracestate", b"idempotency-key", b"x-request-id",
        b"x-client-request-id", b"x-correlation-id", b"x-ms-client-request-id",
    }
)  # fmt: skip
"""Fields that differ from call to call, lower case. None is read here, and no cache key knows them
(`harmless.yaml`)."""


class Seal(NamedTuple):
    """Why a head lets nothing in its request change; both empty where it does.

    Attributes:
        form: Whoever's key it carries.
        signature: Where the agent's own key is sent.
    """

    form: str
    signature: str


class Arrival(NamedTuple):
    """What the head of a request says, but for what differs from call to call.

    Attributes:
        target: Where it goes.
        lasting: The head without fields that differ from call to call, and ``remora-*`` ones.
        url: As it is recorded.
        ours: ``remora-*`` fields, by lower-case name.
        content_type: Empty if there is none.
        content_encoding: None if there is none.
        expects_continue: The agent waits to be told to send the body.
        directives: To caches.
        seal: Whether the request may change.
    """

    target: Target
    lasting: RequestHead
    url: str
    ours: Mapping[str, str]
    content_type: str
    content_encoding: str | None
    expects_continue: bool
    directives: Directives
    seal: Seal

    def head(self, headers: Headers) -> RequestHead:
        """Give the whole head, as it came; ``remora-*`` fields are left out."""
        method, host, path, query, _ = self.lasting
        kept = without_ours(headers) if self.ours else headers
        return RequestHead(method, host, path, query, kept)


def arrival(method: str, target: str, headers: Headers, hand_off: HandOff) -> Arrival | Refusal:
    """Read a request's head, or say why it goes nowhere; agents repeat their heads."""
    lasting = tuple([field for field in headers if field[0].lower() not in _EACH_TIME])
    return _arrival(method, target, lasting, hand_off)


@lru_cache(maxsize=_KEPT_HEADS)
def _arrival(
    method: str, target: str, headers: tuple[tuple[bytes, bytes], ...], hand_off: HandOff
) -> Arrival | Refusal:
    place = locate(method, target, headers, hand_off)
    if isinstance(place, Refusal):
        return place
    return Arrival(
        target=place,
        lasting=request_head(method, place, tuple(without_ours(headers))),
        url=url_without_credentials(place.url),
        ours=ours(headers),
        content_type=header(headers, b"content-type") or "",
        content_encoding=header(headers, b"content-encoding"),
        expects_continue=(header(headers, b"expect") or "").lower() == "100-continue",
        directives=read_directives(headers),
        seal=seal_of(headers),
    )


def request_head(method: str, target: Target, headers: Headers) -> RequestHead:
    """Make the head of a call that goes to a target."""
    path, _, query = target.origin_form.partition("?")
    return RequestHead(method, target.host, path, query, headers)


def provider_for(
    policy: PolicySnapshot, target: Target, method: str, headers: Headers
) -> Provider | None:
    """Find whose call a request is; None if it is no provider's that policy intercepts."""
    if target.scheme == "https":
        return policy.tls_provider(target.host)
    provider = policy.plain_provider(target.host, target.port)
    if provider is None or not provider.claimed_only:
        return provider
    # Where the host may be somebody else's, only what is an LLM call is the provider's.
    head = request_head(method, target, without_ours(headers))
    return None if dialect_for(provider.dialects, head) is UNKNOWN else provider


def seal_of(headers: Headers) -> Seal:
    """Read from a head why nothing in its request may change."""
    form = ""
    if header(headers, b"content-encoding") is not None:
        form = "its body is encoded"
    elif (header(headers, b"upgrade") or "").lower() == "websocket":
        form = "it is a WebSocket"
    return Seal(form, "it is signed" if is_signed(headers) else "")


def sealed_by(seal: Seal, request: CallRequest, keys: KeyPlan, *, is_held: bool) -> str:
    """Say why nothing in a request may change; empty if it may.

    Args:
        seal: Of its head.
        request: What it asks for.
        keys: What policy does with the keys of its provider's calls.
        is_held: The whole body is in memory.
    """
    if not is_held:
        return "its body is too large to be read"
    if request.problem:
        return "its body can't be read"
    return seal.form or (seal.signature if keys.replace is None else "")
