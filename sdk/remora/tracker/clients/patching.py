"""Puts functions around those of other libraries, once these are imported. Knows no client."""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import wrapt

from remora.tracker.active import active_session, warn_untracked

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""Gets what it stands around (bound), whose that is, and the arguments of a call."""


def when_imported(name: str, patch: Callable[[ModuleType], None]) -> None:
    """Patch a module now, if it is imported, or else as soon as it is.

    A version of it that lacks what is patched must not keep the program from importing it: its
    calls are told about as untracked.
    """

    def patch_whole(module: ModuleType) -> None:
        try:
            importlib.import_module(name)  # another thread may be in the middle of it
            patch(module)
        except (AttributeError, ImportError) as problem:
            client = name.partition(".")[0]
            warn_untracked(
                client,
                f"calls of {client} can't be tracked, because this version of it is not known: "
                f"{problem}",
            )

    wrapt.register_post_import_hook(patch_whole, name)


def wrap(module: ModuleType, name: str, wrapper: Wrapper) -> None:
    """Put a wrapper around a function of a module, or a method given as ``Class.method``.

    Raises:
        AttributeError: There is none.
    """
    wrapt.wrap_function_wrapper(module, name, wrapper)


def wrap_in_sessions(module: ModuleType, name: str, wrapper: Wrapper) -> None:
    """Put a wrapper around a function or method, which is asked only where a session is active.

    Raises:
        AttributeError: There is none.
    """
    wrap(module, name, _in_sessions(wrapper))


def wrap_everywhere_in_sessions(module: ModuleType, name: str, wrapper: Wrapper) -> None:
    """Put such a wrapper around a function, in modules that imported it by name before, too.

    Raises:
        AttributeError: There is none.
    """
    original = getattr(module, name)
    wrap_in_sessions(module, name, wrapper)
    wrapped = getattr(module, name)
    for other in list(sys.modules.values()):
        names = getattr(other, "__dict__", {})
        for key in [key for key, value in list(names.items()) if value is original]:
            names[key] = wrapped


def _in_sessions(wrapper: Wrapper) -> Wrapper:
    def guarded(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if active_session.get() is None:
            return wrapped(*args, **kwargs)
        return wrapper(wrapped, instance, args, kwargs)

    return guarded
