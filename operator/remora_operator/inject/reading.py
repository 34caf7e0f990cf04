"""Kubernetes JSON read with its path in hand, so that what is malformed can be named.

A webhook sees pods before the API server has validated them, and the offline command sees
whatever is in a file. ``null`` counts as absent, as it does for the API server.
"""

from collections.abc import Mapping
from typing import Any

from remora_operator.inject.outcome import Cause, Json, RefusalReason, Refused


def malformed(path: str, what: str) -> Refused:
    """Make the refusal of a field that can't be read."""
    return Refused(Cause(RefusalReason.MALFORMED, f"{path} {what}"))


def as_object(value: object, path: str) -> Json:
    """Read an object; absent is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise malformed(path, "should be an object")
    return value


def member(parent: Json, name: str, path: str) -> Json:
    """Read a member that is an object."""
    return as_object(parent.get(name), f"{path}.{name}")


def objects(parent: Json, name: str, path: str) -> tuple[Json, ...]:
    """Read a member that is a list of objects."""
    items = _list(parent, name, path)
    for index, item in enumerate(items):
        if item is None:
            raise malformed(f"{path}.{name}[{index}]", "should be an object")
    return tuple(as_object(item, f"{path}.{name}[{i}]") for i, item in enumerate(items))


def texts(parent: Json, name: str, path: str) -> tuple[str, ...]:
    """Read a member that is a list of strings."""
    items = _list(parent, name, path)
    if not all(isinstance(item, str) for item in items):
        raise malformed(f"{path}.{name}", "should be a list of strings")
    return tuple(items)


def text_map(parent: Json, name: str, path: str) -> Mapping[str, str]:
    """Read labels or annotations."""
    values = member(parent, name, path)
    for key, value in values.items():
        if not isinstance(value, str):
            raise malformed(f"{path}.{name}[{key}]", "should be a string: put quotes around it")
    return values


def text(parent: Json, name: str, path: str) -> str:
    """Read a member that is a string; absent is empty."""
    value = parent.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed(f"{path}.{name}", "should be a string: put quotes around it")
    return value


def flag(parent: Json, name: str, path: str) -> bool | None:
    """Read a member that is true or false."""
    value = parent.get(name)
    if value is not None and not isinstance(value, bool):
        raise malformed(f"{path}.{name}", "should be true or false")
    return value


def number(parent: Json, name: str, path: str) -> int | None:
    """Read a member that is a whole number."""
    value = parent.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise malformed(f"{path}.{name}", "should be a whole number")
    return value


def _list(parent: Json, name: str, path: str) -> list[Any]:
    value = parent.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise malformed(f"{path}.{name}", "should be a list")
    return value
