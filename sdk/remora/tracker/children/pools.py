"""What is given to a `multiprocessing.Pool` runs within the session of whoever gave it.

So do the callbacks that come with it, and the items of an iterable that the pool takes lazily.
"""

from multiprocessing.pool import Pool
from typing import Any

from remora.tracker.active import active_session
from remora.tracker.children.executors import around_pool, session_work
from remora.tracker.children.replacement import Function, Parameter, replace
from remora.tracker.children.work import session_items

_CALLBACKS = ("callback", "error_callback")
_CALLABLES = {
    "apply_async": ("func", *_CALLBACKS),  # apply as well, which calls it
    "map": ("func",),
    "map_async": ("func", *_CALLBACKS),
    "starmap": ("func",),
    "starmap_async": ("func", *_CALLBACKS),
    "imap": ("func",),
    "imap_unordered": ("func",),
}
_LAZY = ("imap", "imap_unordered")


def install() -> None:
    """Replace how pools are made and filled."""
    replace(Pool, "__init__", around_pool)
    for method, callables in _CALLABLES.items():
        changes: dict[str, Function] = dict.fromkeys(callables, session_work)
        if method in _LAZY:
            changes["iterable"] = _session_items
        replace(Pool, method, _Around(changes))


def _session_items(items: Any) -> Any:
    session = active_session.get()
    return items if session is None or items is None else session_items(session, items)


class _Around:
    """Makes a method of a pool that changes some of its arguments within a session."""

    def __init__(self, changes: dict[str, Function]) -> None:
        self._changes = changes

    def __call__(self, original: Function) -> Function:
        changes = [
            (Parameter(original, name, skipped=1), change) for name, change in self._changes.items()
        ]

        def method(self: object, *args: Any, **kwargs: Any) -> Any:
            if active_session.get() is not None:
                for parameter, change in changes:
                    args, kwargs = parameter.changed(change, args, kwargs)
            return original(self, *args, **kwargs)

        return method
