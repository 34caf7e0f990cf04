"""How functions of the standard library are replaced, and how their arguments are changed."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

type Function = Callable[..., Any]
type Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_MARK = "_remora_keeps_session"


def replace(owner: object, name: str, around: Callable[[Function], Function]) -> None:
    """Put what is made around a function in its place, once.

    Args:
        owner: A module or a class. Where it has no such function, nothing happens.
        name: The function's.
        around: Makes, of the original, what replaces it.
    """
    original = getattr(owner, name, None)
    if original is None or hasattr(original, _MARK):
        return
    replacement = wraps(original)(around(original))
    setattr(replacement, _MARK, True)
    setattr(owner, name, replacement)


class Parameter:
    """A parameter of a function, which callers give by position or by name."""

    def __init__(self, function: Function, name: str, *, skipped: int = 0) -> None:
        """Find its position.

        Args:
            function: Whose parameter it is.
            name: The parameter's.
            skipped: How many parameters before it are not among the arguments, such as self.
        """
        self._name = name
        self._position = list(inspect.signature(function).parameters).index(name) - skipped

    def changed(self, change: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """Change its value in a call's arguments, if it is among them.

        Where the caller gave it twice the call stays wrong, for the function to say so.
        """
        at, name = self._position, self._name
        if len(args) > at:
            return (*args[:at], change(args[at]), *args[at + 1 :]), kwargs
        if name in kwargs:
            return args, {**kwargs, name: change(kwargs[name])}
        return args, kwargs

    def supplied(
        self, change: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Arguments:
        """Change its value in a call's arguments, or that of None if it is not among them."""
        is_given = len(args) > self._position
        return self.changed(change, args, kwargs if is_given else {self._name: None, **kwargs})
