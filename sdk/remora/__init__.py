"""Remora's light library: what agents, programs and every part of Remora may import.

The names of the tracker and the client are here as well; they are imported when first used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remora.api_client import (
        ApiError,
        AsyncClient,
        AuthenticationError,
        BudgetExceededError,
        Client,
        ProviderError,
        RateLimitError,
    )
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
    "ApiError": "remora.api_client",
    "AsyncClient": "remora.api_client",
    "AuthenticationError": "remora.api_client",
    "BudgetExceededError": "remora.api_client",
    "CallRecord": "remora.tracker.call_record",
    "Client": "remora.api_client",
    "LLMTracker": "remora.tracker.tracker",
    "ModelSelector": "remora.selectors",
    "ProviderError": "remora.api_client",
    "RandomRouter": "remora.routers",
    "RateLimitError": "remora.api_client",
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

_MODULES = ("tasks", "workflows")

__all__ = [
    "UNROUTED",
    "ApiError",
    "AsyncClient",
    "AuthenticationError",
    "BudgetExceededError",
    "CallRecord",
    "Client",
    "LLMTracker",
    "ModelSelector",
    "ProviderError",
    "RandomRouter",
    "RateLimitError",
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
    """Import one of the names above, or one of the modules that programs ask things of."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
