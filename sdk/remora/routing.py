"""Routers of one's own: what a model is asked for is decided in Python, call by call.

A class with a `route` method, named in the entry-point group ``remora.routers``, is what
``router: {policy: plugin, plugin: NAME}`` in a policy asks. It runs within the sidecar, in the path
of the call: it should look at what it is given, decide, and do nothing that waits.

`remora.routing_client` lets an object with such a method decide from its own process, about the
calls of one session that no route of the policy takes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from remora.records import CallRecord

ENTRY_POINTS = "remora.routers"


@dataclass(frozen=True, slots=True)
class RoutedSession:
    """Whose call it is; None where nothing was said."""

    session_id: str
    data_id: str | None = None
    combo_id: str | None = None
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class RouteContext:
    """What a router knows of a call.

    Attributes:
        request_body: As the agent sent it; empty if it is no JSON object.
        provider: Name of the provider that was asked; ``unknown`` if it has none.
        requested_model: As asked for; empty if none was named.
        session: Whose call it is.
        history: Records of the session's calls so far, oldest first, without their bodies; a
            bounded number of them.
        candidates: Models to choose from, as the policy names them.
    """

    request_body: Mapping[str, Any]
    provider: str
    requested_model: str
    session: RoutedSession
    history: Sequence[CallRecord] = field(default_factory=tuple)
    candidates: Sequence[str] = field(default_factory=tuple)


class Router(Protocol):
    """Decides which model answers a call."""

    def route(self, ctx: RouteContext) -> str | None:
        """Name a model; None leaves the call as it is, and so does an exception."""
        ...
