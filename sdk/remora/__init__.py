"""Remora's light library: what agents, programs and every part of Remora may import.

The tracker's names are here as well; they are imported when they are first used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remora.routers import (
        RandomRouter,
        Router,
        format_routing_summary,
        print_routing_summary,
    )
    from remora.routing import RouteContext
    from remora.selectors import ModelSelector
    from remora.tracker.active import UntrackedCallWarning
    from remora.tracker.call_record import CallRecord
    from remora.tracker.containers import compose_fragment, docker_args, pod_fragment
    from remora.tracker.response_cache import ResponseCache
    from remora.tracker.session import SessionInfo, SessionProxy, get_current_session_proxy
    from remora.tracker.tracker import UNROUTED, LLMTracker

try:
    __version__ = version("remora")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

_HOMES = {
    "UNROUTED": "remora.tracker.tracker",
    "CallRecord": "remora.tracker.call_record",
    "LLMTracker": "remora.tracker.tracker",
    "ModelSelector": "remora.selectors",
    "RandomRouter": "remora.routers",
    "ResponseCache": "remora.tracker.response_cache",
    "RouteContext": "remora.routing",
    "Router": "remora.routers",
    "SessionInfo": "remora.tracker.session",
    "SessionProxy": "remora.tracker.session",
    "UntrackedCallWarning": "remora.tracker.active",
    "compose_fragment": "remora.tracker.containers",
    "docker_args": "remora.tracker.containers",
    "format_routing_summary": "remora.routers",
    "get_current_session_proxy": "remora.tracker.session",
    "pod_fragment": "remora.tracker.containers",
    "print_routing_summary": "remora.routers",
}

__all__ = [
    "UNROUTED",
    "CallRecord",
    "LLMTracker",
    "ModelSelector",
    "RandomRouter",
    "ResponseCache",
    "RouteContext",
    "Router",
    "SessionInfo",
    "SessionProxy",
    "UntrackedCallWarning",
    "__version__",
    "compose_fragment",
    "docker_args",
    "format_routing_summary",
    "get_current_session_proxy",
    "pod_fragment",
    "print_routing_summary",
]


def __getattr__(name: str) -> Any:
    """Import one of the tracker's names."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
