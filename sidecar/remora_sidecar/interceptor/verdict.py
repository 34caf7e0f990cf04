"""What becomes of a connection: decided from its first bytes and the policy in force. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from remora_sidecar.interceptor.peek import HttpHead, TlsHello
from remora_sidecar.model.authority_form import split_authority


@dataclass(frozen=True, slots=True)
class Terminate:
    """Terminate TLS in this name and hand the decrypted bytes to the engine."""

    name: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Plain HTTP to a registered plain-HTTP provider: hand the bytes to the engine."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Relay untouched; ``opaque_name`` names the provider host of an unread connection."""

    opaque_name: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Refuse an unread connection to a provider host, where policy blocks opaque calls."""

    name: str


Verdict = Terminate | HandOver | Relay | Block


class InterceptionPolicy(Protocol):
    """What the policy in force says about hosts."""

    @property
    def opaque_allowed(self) -> bool:
        """Whether connections that can't be read may pass."""
        ...

    def terminates(self, host: str) -> bool:
        """Whether TLS to this host is a provider's."""
        ...

    def takes_plain(self, host: str, port: int) -> bool:
        """Whether plain HTTP to this host and port is a provider's."""
        ...


CurrentPolicy = Callable[[], InterceptionPolicy]


def judge_tls(hello: TlsHello, name: str, policy: InterceptionPolicy) -> Verdict:
    """Decide about a TLS connection.

    Args:
        hello: What the client offers.
        name: The SNI; empty if there is none.
        policy: The policy in force.
    """
    if not name or not policy.terminates(name):
        return Relay()
    if hello.speaks_http1:
        return Terminate(name)
    return judge_unread(name, policy)


def judge_tls_inside(
    hello: TlsHello, name: str, connected_to: str, policy: InterceptionPolicy
) -> Verdict:
    """Decide about TLS inside a CONNECT; without an SNI the host that CONNECT named stands.

    An SNI that is no provider's does not hide a connection to a provider's host.
    """
    verdict = judge_tls(hello, name or connected_to, policy)
    if verdict == Relay() and policy.terminates(connected_to):
        return judge_unread(connected_to, policy)
    return verdict


def judge_unread(name: str, policy: InterceptionPolicy) -> Verdict:
    """Decide about a connection to a provider host that can't be read."""
    return Relay(opaque_name=name) if policy.opaque_allowed else Block(name)


def judge_http(head: HttpHead, port: int, policy: InterceptionPolicy) -> Verdict:
    """Decide about a connection that begins with a plain HTTP request."""
    authority = split_authority(head.host, port)
    if authority is not None and policy.takes_plain(authority[0], port):
        return HandOver()
    return Relay()
