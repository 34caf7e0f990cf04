"""Parameters that policy sets in a request, and nothing else of it (rule 1 of the design). Pure.

A value that is there is replaced where it stands; one that is missing is added at the end of its
object, as are the objects that lead to it. Every other byte stays.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from remora_sidecar.dialects.framing.json_members import Member, members, spells, spells_a_letter
from remora_sidecar.dialects.framing.json_values import parse_json

type Scalar = str | bool | int | float

_SPACE = b" \t\r\n"
_KEPT_BODIES = 128
_KEPT_BODY_BYTES = 8 * 1024
"""So many small requests that are asked again need not be gone through again."""


class Parameters(NamedTuple):
    """What is set in a request.

    Attributes:
        text: As a JSON object, in one way only; empty if nothing is.
        values: By name; dots lead into objects.
    """

    text: str = ""
    values: tuple[tuple[str, Scalar], ...] = ()


NOTHING_SET = Parameters()


def parameters(values: Mapping[str, Scalar]) -> Parameters:
    """Take what policy says of a candidate."""
    if not values:
        return NOTHING_SET
    text = json.dumps(dict(values), sort_keys=True, separators=(",", ":"))
    return Parameters(text, tuple(sorted(values.items())))


def arm_key(provider: str, model: str, wanted: Parameters) -> str:
    """Name what a call may go to, as scores, receipts and notes do."""
    return f"{provider}/{model} {wanted.text}" if wanted.text else f"{provider}/{model}"


def with_parameters(body: bytes, wanted: Parameters) -> bytes | None:
    """Set parameters in a request's body.

    Args:
        body: Decoded, but as sent.
        wanted: What to set.

    Returns:
        The body to send; None where it is no JSON object, or a name leads into what is none.
    """
    if not wanted.values:
        return body
    return (_kept if len(body) <= _KEPT_BODY_BYTES else _set)(body, wanted)


def _set(body: bytes, wanted: Parameters) -> bytes | None:
    if not isinstance(parse_json(body), dict):
        return None
    try:
        changed = _with_all(body, [(n.split("."), v) for n, v in wanted.values])
    except ValueError:
        return None
    asked = parse_json(changed)  # nothing goes out that says anything but what was meant
    return changed if all(_stands(asked, *one) for one in wanted.values) else None


_kept = lru_cache(maxsize=_KEPT_BODIES)(_set)

type _Leaves = Sequence[tuple[Sequence[str], Scalar]]


def _with_all(text: bytes, leaves: _Leaves) -> bytes:
    """Set all values below one object; raises ValueError where that can't be done."""
    below: dict[bytes, list[tuple[Sequence[str], Scalar]]] = {}
    for path, value in leaves:
        below.setdefault(path[0].encode(), []).append((path[1:], value))
    found = _found(text, below)
    for member, key in reversed(found):
        changed = _value(text[member.value_start : member.end], below[key])
        text = text[: member.value_start] + changed + text[member.end :]
    known = {key for _, key in found}
    missing = [(key, inner) for key, inner in below.items() if key not in known]
    return _added(text, [(key, _value(b"null", inner)) for key, inner in missing])


def _found(text: bytes, below: Mapping[bytes, object]) -> list[tuple[Member, bytes]]:
    """Find the members that are to change, however they are spelled, as often as they stand."""
    if not spells_a_letter(text) and not any(b'"' + key + b'"' in text for key in below):
        return []  # most texts tell at once, and need not be gone through
    return [(member, key) for member in members(text) for key in below if spells(member.key, key)]


def _value(there: bytes, leaves: _Leaves) -> bytes:
    path, value = leaves[0]
    if not path:
        return json.dumps(value).encode()
    if there == b"null":
        there = b"{}"
    if not there.startswith(b"{"):
        raise ValueError("a name leads into what is no object")
    return _with_all(there, leaves)


def _added(text: bytes, new: Sequence[tuple[bytes, bytes]]) -> bytes:
    if not new:
        return text
    end = text.rindex(b"}")
    is_empty = text[:end].rstrip(_SPACE).endswith(b"{")
    written = b",".join(b'"' + key + b'":' + value for key, value in new)
    return text[:end] + (b"" if is_empty else b",") + written + text[end:]


def _stands(asked: Any, name: str, value: Scalar) -> bool:
    for key in name.split("."):
        if not isinstance(asked, dict) or key not in asked:
            return False
        asked = asked[key]
    return type(asked) is type(value) and bool(asked == value)


def overlaid(asked: Mapping[str, Any], wanted: Parameters) -> Mapping[str, Any]:
    """Give a parsed request as it is with parameters set; the one given stays as it was."""
    changed = dict(asked)
    for name, value in wanted.values:
        *way, last = name.split(".")
        holder = changed
        for key in way:
            inner = holder.get(key)
            holder[key] = dict(inner) if isinstance(inner, dict) else {}
            holder = holder[key]
        holder[last] = value
    return changed
