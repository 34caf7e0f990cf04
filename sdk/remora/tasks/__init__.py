"""Tasks of this program's sidecar: what runs of agents came to, and how they are steered.

    from remora import tasks

    snapshot = tasks.get("run-1", include_receipts=True)
    print(snapshot["task"]["status"], snapshot["task"]["total_cost_usd"])

Names load on first use; each has a twin that is awaited, such as ``get_async``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remora.tasks.process import (
        cancel,
        cancel_async,
        create,
        create_async,
        get,
        get_async,
        list,  # noqa: A004 - the published name
        list_async,
        pause,
        pause_async,
        resume,
        resume_async,
    )

__all__ = [
    "cancel",
    "cancel_async",
    "create",
    "create_async",
    "get",
    "get_async",
    "list",
    "list_async",
    "pause",
    "pause_async",
    "resume",
    "resume_async",
]


def __getattr__(name: str) -> Any:
    """Import one of the names above."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.process"), name)
