"""A client of the sidecar's API: chats, embeddings, models, workflows, tasks.

    from remora import Client

    client = Client()
    answer = client.chat.completions.create(model="auto", messages=[…])
    result = client.workflows.execute(workflow="research", input={"goal": "…"})

Names load on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remora.api_client.async_client import AsyncClient
    from remora.api_client.client import Client
    from remora.api_client.failures import (
        ApiError,
        AuthenticationError,
        BudgetExceededError,
        InvalidWorkflow,
        ProviderError,
        RateLimitError,
        RunTimeout,
    )

_HOMES = {
    "ApiError": "failures",
    "AsyncClient": "async_client",
    "AuthenticationError": "failures",
    "BudgetExceededError": "failures",
    "Client": "client",
    "InvalidWorkflow": "failures",
    "ProviderError": "failures",
    "RateLimitError": "failures",
    "RunTimeout": "failures",
}

__all__ = [
    "ApiError",
    "AsyncClient",
    "AuthenticationError",
    "BudgetExceededError",
    "Client",
    "InvalidWorkflow",
    "ProviderError",
    "RateLimitError",
    "RunTimeout",
]


def __getattr__(name: str) -> Any:
    """Import one of the names above."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
