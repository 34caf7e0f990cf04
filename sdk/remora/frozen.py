"""Values that are made for every call, made quickly.

A frozen dataclass writes each of its fields by asking ``object.__setattr__`` to find the slot by
its name, which for a record of forty fields takes four times as long as all the rest. While such a
value is made it is therefore of a class that is not frozen, with the same slots, which Python lets
an object change to and from (`object.__class__`_); from then on it is as frozen as it was.

A class that is called with names of arguments gets them in a dictionary, which a function does not
need: for a value of many fields that is half of the time, too (`by_name`).

.. _object.__class__: https://docs.python.org/3/reference/datamodel.html#object.__class__
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any

_UNSAID: Any = object()
"""Stands for an argument that is made anew for each value."""

_become = object.__dict__["__class__"].__set__
"""Gives an object another class."""


def quickly_made[T](cls: type[T]) -> type[T]:
    """Give a frozen dataclass an ``__init__`` that writes its slots as any other class does.

    Args:
        cls: Has slots, no base, and neither keyword-only fields nor ``__post_init__``.

    Returns:
        The same class.
    """
    made = fields(cls)  # type: ignore[arg-type]  # of a dataclass, as said
    if hasattr(cls, "__post_init__") or any(field.kw_only or not field.init for field in made):
        raise TypeError(f"{cls.__name__} is made in a way of its own")
    unfrozen = type(f"Unfrozen{cls.__name__}", (), {"__slots__": [f.name for f in made]})
    space: dict[str, Any] = {"_UNSAID": _UNSAID, "_become": _become, "_unfrozen": unfrozen}
    for field in made:
        space[f"_default_{field.name}"] = field.default
        space[f"_make_{field.name}"] = field.default_factory
    parameters = ", ".join(map(_parameter, made))
    lines = [
        f"def __init__(self, {parameters}):",
        "_frozen = self.__class__",
        "_become(self, _unfrozen)",
        *map(_line, made),
        "_become(self, _frozen)",
    ]
    exec("\n ".join(lines), space)  # noqa: S102 - of names of fields alone, as dataclasses do it
    init = space["__init__"]
    init.__doc__, init.__annotations__ = cls.__init__.__doc__, cls.__init__.__annotations__
    init.__qualname__, init.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    cls.__init__ = init  # type: ignore[method-assign]
    return cls


def by_name[**P, T](cls: Callable[P, T]) -> Callable[P, T]:
    """Give a function that makes values of a class, for callers that name its arguments.

    Args:
        cls: Whose arguments can all be given by position.
    """
    space: dict[str, Any] = {"_cls": cls}
    parameters = []
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            raise TypeError(f"{name!r} can't be given by name and by position")
        space[f"_default_{name}"] = parameter.default
        has_default = parameter.default is not parameter.empty
        parameters.append(f"{name}=_default_{name}" if has_default else name)
    names = ", ".join(name.partition("=")[0] for name in parameters)
    line = f"def make({', '.join(parameters)}): return _cls({names})"
    exec(line, space)  # noqa: S102 - of names of arguments alone
    make: Callable[P, T] = space["make"]
    return make


def _parameter(field: Field[Any]) -> str:
    name = field.name
    if field.default_factory is not MISSING:
        return f"{name}=_UNSAID"
    return name if field.default is MISSING else f"{name}=_default_{name}"


def _line(field: Field[Any]) -> str:
    name = field.name
    if field.default_factory is MISSING:
        return f"self.{name} = {name}"
    return f"self.{name} = _make_{name}() if {name} is _UNSAID else {name}"
