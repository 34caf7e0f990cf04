"""The JSON Patch that makes one document of another (RFC 6902, pointers as of RFC 6901).

Made for Kubernetes' lists: their items have names (or mount paths), so an item that was
added is one ``add`` at its place, whatever else stands in the list.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from remora_operator.inject.outcome import Operation

type _Key = tuple[object, int]


def difference(old: object, new: object, pointer: str = "") -> tuple[Operation, ...]:
    """Return operations that turn `old` into `new`, in the order in which they apply.

    Parts that are the same object in both are not looked at.

    Args:
        old: JSON as it is.
        new: JSON as it should be.
        pointer: Where both stand in a larger document.
    """
    return tuple(_difference(old, new, pointer))


def _difference(old: object, new: object, pointer: str) -> Iterator[Operation]:
    if old is new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _members(old, new, pointer)
    elif _is_list(old) and _is_list(new):
        yield from _items(old, new, pointer)
    elif not _equal(old, new):
        yield Operation("replace", pointer, new)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _equal(old: object, new: object) -> bool:
    """Tell whether JSON scalars are equal; Python's own 1 == True == 1.0 is not JSON's."""
    return type(old) is type(new) and old == new


def _members(old: Mapping[str, Any], new: Mapping[str, Any], pointer: str) -> Iterator[Operation]:
    for name in old:
        if name not in new:
            yield Operation("remove", f"{pointer}/{escaped(name)}")
    for name, value in new.items():
        inner = f"{pointer}/{escaped(name)}"
        if name in old:
            yield from _difference(old[name], value, inner)
        else:
            yield Operation("add", inner, value)


def _items(old: Any, new: Any, pointer: str) -> Iterator[Operation]:
    """Walk both lists at once; everything before the place `at` is as it should be already."""
    at = behind = _same_items(old, new)
    old_keys, new_keys = _keys(old, at), _keys(new, at)
    wanted, done = set(new_keys), set[_Key | None]()
    while behind < len(old) or at < len(new):
        if at < len(new) and behind < len(old) and old_keys[behind] == new_keys[at]:
            yield from _difference(old[behind], new[at], f"{pointer}/{at}")
            behind, at = behind + 1, at + 1
        elif behind < len(old) and (old_keys[behind] not in wanted or old_keys[behind] in done):
            yield Operation("remove", f"{pointer}/{at}")
            behind += 1
        else:
            yield Operation("add", f"{pointer}/{at}", new[at])
            done.add(new_keys[at])
            at += 1


def _same_items(old: Any, new: Any) -> int:
    """Count the items at the front that are the same objects; they need no second look."""
    count = 0
    for before, after in zip(old, new, strict=False):
        if before is not after:
            break
        count += 1
    return count


def _keys(items: Sequence[object], first: int) -> list[_Key | None]:
    """Name the items from one on; of those with the same name each by which one it is."""
    seen: dict[object, int] = {}
    keys: list[_Key | None] = [None] * first
    for item in items[first:]:
        name = _name(item)
        keys.append((name, seen.get(name, 0)))
        seen[name] = seen.get(name, 0) + 1
    return keys


def _name(item: object) -> object:
    if not isinstance(item, Mapping):
        return repr(item)
    name = item.get("mountPath", item.get("name"))
    return name if isinstance(name, str) else ""


def escaped(name: str) -> str:
    """Write a member's name as a token of a JSON Pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def applied(document: Any, operations: Sequence[Operation]) -> Any:
    """Return a document with operations of `difference` applied; it is not changed itself."""
    for operation in operations:
        tokens = [_unescaped(token) for token in operation.path.split("/")[1:]]
        document = _applied(document, tokens, operation)
    return document


def _applied(value: Any, tokens: Sequence[str], operation: Operation) -> Any:
    if not tokens:
        return operation.value
    if isinstance(value, Mapping):
        return _member_applied(dict(value), tokens, operation)
    items, index = list(value), int(tokens[0])
    if len(tokens) > 1 or operation.op == "replace":
        items[index] = _applied(items[index], tokens[1:], operation)
    elif operation.op == "add":
        items.insert(index, operation.value)
    else:
        del items[index]
    return items


def _member_applied(members: dict[str, Any], tokens: Sequence[str], operation: Operation) -> Any:
    name, *rest = tokens
    if not rest and operation.op == "remove":
        del members[name]
    else:
        members[name] = _applied(members.get(name), rest, operation)
    return members


def _unescaped(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")
