"""Frozen dataclasses that are made for every call, made quickly.

A frozen dataclass writes each of its fields by asking ``object.__setattr__`` to find the slot by
its name, which for a record of forty fields takes twice as long as all the rest. A slot knows how
to write itself (`Descriptor HowTo Guide`_, "Member objects and __slots__"): asked directly, it
need not be found. Nothing else changes: the class stays as frozen as it was.

.. _Descriptor HowTo Guide: https://docs.python.org/3/howto/descriptor.html
"""

from dataclasses import MISSING, Field, fields
from typing import Any

_UNSAID: Any = object()
"""Stands for an argument that is made anew for each value."""


def quickly_made[T](cls: type[T]) -> type[T]:
    """Give a frozen dataclass an ``__init__`` that writes its slots directly.

    Args:
        cls: Has slots, and neither keyword-only fields nor ``__post_init__``.

    Returns:
        The same class.
    """
    made = fields(cls)  # type: ignore[arg-type]  # of a dataclass, as said
    if hasattr(cls, "__post_init__") or any(field.kw_only or not field.init for field in made):
        raise TypeError(f"{cls.__name__} is made in a way of its own")
    space: dict[str, Any] = {"_UNSAID": _UNSAID}
    for field in made:
        space[f"_write_{field.name}"] = getattr(cls, field.name).__set__
        space[f"_default_{field.name}"] = field.default
        space[f"_make_{field.name}"] = field.default_factory
    parameters = ", ".join(map(_parameter, made))
    lines = [f"def __init__(self, {parameters}):", *map(_line, made)]
    exec("\n ".join(lines), space)  # noqa: S102 - of names of fields alone, as dataclasses do it
    init = space["__init__"]
    init.__doc__, init.__annotations__ = cls.__init__.__doc__, cls.__init__.__annotations__
    init.__qualname__, init.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    cls.__init__ = init  # type: ignore[method-assign]
    return cls


def _parameter(field: Field[Any]) -> str:
    name = field.name
    if field.default_factory is not MISSING:
        return f"{name}=_UNSAID"
    return name if field.default is MISSING else f"{name}=_default_{name}"


def _line(field: Field[Any]) -> str:
    name = field.name
    if field.default_factory is MISSING:
        return f"_write_{name}(self, {name})"
    return f"_write_{name}(self, _make_{name}() if {name} is _UNSAID else {name})"
