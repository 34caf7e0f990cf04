"""One place that a call may be sent to, and the request as it goes there. Pure.

A leg to another host takes nothing along that is the first provider's: neither its key nor its
account's names, nor its host.
"""

from dataclasses import replace
from typing import NamedTuple

from remora.providers import Provider
from remora_sidecar.dialects.base import CallRequest, Dialect
from remora_sidecar.dialects.parameters import NOTHING_SET, Parameters, with_parameters
from remora_sidecar.dialects.rewriting import Rewritten, path_at, with_model
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.engine.request_body import HeldBody
from remora_sidecar.engine.target import Target
from remora_sidecar.engine.upstream import Endpoint
from remora_sidecar.model.exchange import Headers, RequestHead
from remora_sidecar.policy.routes import host_of

_OF_THE_ACCOUNT = frozenset(
    {b"openai-organization", b"openai-project", b"x-goog-user-project", b"cookie"}
)


class Leg(NamedTuple):
    """A provider, a model, and the request that asks for it there.

    Attributes:
        target: Where it goes.
        head: As it goes out, but for framing.
        request: What it asks for.
        body: Decoded; what the cache and the dialect read.
        changes_body: The body differs from the agent's own.
        parameters: That policy set in it.
    """

    provider: Provider
    target: Target
    head: RequestHead
    request: CallRequest
    body: bytes
    changes_body: bool = False
    parameters: Parameters = NOTHING_SET

    @property
    def model(self) -> str:
        """The model that is asked for."""
        return self.request.model

    def outgoing(self, asked: Outgoing) -> Outgoing:
        """Give the request that goes out, made of the agent's own."""
        target = self.target
        return replace(
            asked,
            endpoint=Endpoint(target.host, target.port, target.scheme == "https"),
            target=target.origin_form,
            headers=self.head.headers,
            body=HeldBody(self.body) if self.changes_body else asked.body,
        )


def leg_to(
    own: Leg,
    dialect: Dialect,
    provider: Provider,
    model: str,
    parameters: Parameters = NOTHING_SET,
) -> Leg | None:
    """Make the leg to another candidate; None where the request can't be made to ask for it.

    Args:
        own: The call as the agent made it.
        dialect: The call's.
        provider: The candidate's.
        model: The candidate's.
        parameters: To be set in the request.
    """
    path: str | None = own.head.path
    if provider is not own.provider:
        path = path_at(dialect.name, own.head.path, provider)
    if path is None:
        return None
    asked: Rewritten | None = Rewritten(path, own.body)
    if model != own.model or provider is not own.provider:
        asked = with_model(dialect.name, path, own.body, model)
    body = with_parameters(asked.body, parameters) if asked is not None else None
    if asked is None or body is None:
        return None
    changes = body != own.body
    if provider is own.provider and asked.path == path:
        request = _request(own, dialect, own.head, body, model, parameters)
        return Leg(provider, own.target, own.head, request, body, changes, parameters)
    query = _query(own, provider)
    target = _target(own, provider, f"{asked.path}?{query}" if query else asked.path)
    method, headers = own.head.method, _headers(own, target)
    head = RequestHead(method, target.host, asked.path, query, headers)
    return Leg(
        provider=provider,
        target=target,
        head=head,
        request=_request(own, dialect, head, body, model, parameters),
        body=body,
        changes_body=changes,
        parameters=parameters,
    )


def _request(
    own: Leg, dialect: Dialect, head: RequestHead, body: bytes, model: str, set_: Parameters
) -> CallRequest:
    """Read the request anew only where more than its model may be read in another way."""
    if head.path == own.head.path and not own.request.priced_model and not set_.values:
        return own.request.asking_for(model)
    return dialect.read_request(head, body)


def _target(own: Leg, provider: Provider, origin_form: str) -> Target:
    host = None if provider is own.provider else host_of(provider)
    if host is None:
        scheme, host, port, _ = own.target
        return Target(scheme, host, port, origin_form)
    return Target("https" if provider.tls else "http", host, provider.ports[0], origin_form)


def _query(own: Leg, provider: Provider) -> str:
    """Leave out what only Azure's addresses have (its ``api-version``) where a call leaves it."""
    if provider is own.provider:
        return own.head.query
    return "&".join(p for p in own.head.query.split("&") if not p.startswith("api-version="))


def _headers(own: Leg, target: Target) -> Headers:
    if target[:3] == own.target[:3]:  # also what its authority is made of
        return own.head.headers
    return [
        (name, target.authority.encode("ascii") if name.lower() == b"host" else value)
        for name, value in own.head.headers
        if name.lower() not in _OF_THE_ACCOUNT
    ]
