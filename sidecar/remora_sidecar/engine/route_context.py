"""What routers that are not ours are told of a call. Pure."""

from types import MappingProxyType

from remora.routing import RouteContext, RoutedSession
from remora_sidecar.engine.situation import Situation


def route_context(situation: Situation) -> RouteContext:
    """Say what a router may know of a call: no headers, no keys, no earlier bodies."""
    whose = situation.attribution
    return RouteContext(
        request_body=MappingProxyType(dict(situation.view.asked)),
        provider=situation.own.provider.name or "unknown",
        requested_model=situation.own.model,
        session=RoutedSession(
            whose.session_id, whose.data_id or None, whose.combo_id or None, whose.agent_id or None
        ),
        history=tuple(situation.session.history),
        candidates=tuple(offer.model for offer in situation.offers),
    )
