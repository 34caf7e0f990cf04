"""What is already in a pod under a name of ours: taken over if it is what we would write.

Nothing that somebody set is overwritten. A container of ours may differ in its resources, and
may have gained what the configuration tolerates; anything else refuses the pod, because a
sidecar that somebody else shaped (with other mounts, variables or rights) is not ours any more.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from remora_operator.inject.config import Tolerated
from remora_operator.inject.layout import WORKLOAD_VARIABLE
from remora_operator.inject.outcome import Cause, Json, RefusalReason, Refused

_FREE_FIELDS = frozenset({"resources", "resizePolicy"})
_ITEM_NAMES = {"env": "name", "volumeMounts": "mountPath"}
_EMPTY: tuple[object, ...] = (None, "", {}, [])


def adopt_container(wanted: Json, existing: Json, tolerated: Tolerated) -> Json:
    """Return the container to have: the existing one, completed; the wanted one if it is equal.

    Raises:
        Refused: A field is set that differs from what we would write.
    """
    allowed = {"env": tolerated.variables, "volumeMounts": tolerated.mount_paths}
    kept = {"image": existing["image"]} if existing.get("image") in tolerated.images else {}
    expected = {**wanted, **kept}
    fixed = {name: value for name, value in existing.items() if name not in _FREE_FIELDS}
    differing = list(_differing(expected, fixed, "", allowed))
    if differing:
        raise Refused(Cause(RefusalReason.CONFLICT, _message(str(wanted["name"]), differing)))
    return _completed(expected, existing)


def adopt_volume(wanted: Json, existing: Json) -> Json:
    """Return the volume to have.

    Raises:
        Refused: The pod has another volume of that name.
    """
    if list(_differing(wanted, existing, "", {})):
        text = f"volume {wanted['name']} is not what Remora would write: rename it, or remove it"
        raise Refused(Cause(RefusalReason.CONFLICT, text))
    return _merged(wanted, existing)


def _message(name: str, differing: Sequence[str]) -> str:
    shown = ", ".join(differing[:5]) + (", …" if len(differing) > 5 else "")
    return (
        f"container {name} differs from what Remora would write in {shown}: only resources may "
        "differ; remove it from the pod or its template, and it is written anew"
    )


type _Allowed = Mapping[str, frozenset[str]]


def _differing(wanted: Any, existing: Any, path: str, allowed: _Allowed) -> Iterator[str]:
    """Name the fields that are set and are not as wanted."""
    if isinstance(wanted, Mapping) and isinstance(existing, Mapping):
        for name, value in existing.items():
            inner = f"{path}.{name}".removeprefix(".")
            if name in _ITEM_NAMES and not path:
                yield from _differing_items(wanted.get(name) or [], value, name, allowed)
            elif name not in wanted:
                if value not in _EMPTY:
                    yield inner
            else:
                yield from _differing(wanted[name], value, inner, allowed)
    elif existing is not None and not _same(wanted, existing):
        yield path


def _same(wanted: object, existing: object) -> bool:
    """Compare as JSON does, in which 1 is not true."""
    return isinstance(wanted, bool) is isinstance(existing, bool) and wanted == existing


def _differing_items(
    wanted: Sequence[Json], existing: Any, field: str, allowed: _Allowed
) -> Iterator[str]:
    name_of = _ITEM_NAMES[field]
    ours = {item[name_of]: item for item in wanted}
    seen = set[object]()
    for item in existing or ():
        name = item.get(name_of) if isinstance(item, Mapping) else None
        path = f"{field}[{name}]"
        if name in seen or (name not in ours and name not in allowed.get(field, ())):
            yield path
        elif name in ours and not (field == "env" and name == WORKLOAD_VARIABLE):
            yield from _differing(ours[name], item, path, {})
        seen.add(name)


def _completed(wanted: Json, existing: Json) -> Json:
    """Add what is missing; keep what is there, its order included."""
    result = _merged({k: v for k, v in wanted.items() if k not in _ITEM_NAMES}, existing)
    for field, name_of in _ITEM_NAMES.items():
        if field in wanted or existing.get(field):
            items = _united(wanted.get(field) or [], existing.get(field) or [], name_of)
            result = result if result.get(field) == items else {**result, field: items}
    resources = _resources(wanted.get("resources"), existing.get("resources"))
    if resources is not None and resources != existing.get("resources"):
        result = {**result, "resources": resources}
    return result


def _merged(wanted: Json, existing: Json) -> Json:
    missing = {
        name: value
        for name, value in wanted.items()
        if name != "resources" and existing.get(name) in _EMPTY and value not in _EMPTY
    }
    inner = {
        name: _merged(value, existing[name])
        for name, value in wanted.items()
        if name not in missing and name != "resources" and _both_objects(value, existing.get(name))
    }
    changed = {name: value for name, value in inner.items() if value is not existing[name]}
    return {**existing, **missing, **changed} if missing or changed else existing


def _both_objects(wanted: object, existing: object) -> bool:
    return isinstance(wanted, Mapping) and isinstance(existing, Mapping)


def _united(wanted: Sequence[Json], existing: Sequence[Json], name_of: str) -> list[Json]:
    """Complete the items that are there, then append the missing ones."""
    ours = {item[name_of]: item for item in wanted}
    there = [_merged(ours.get(item[name_of], {}), item) for item in existing]
    present = {item[name_of] for item in existing}
    return [*there, *(item for item in wanted if item[name_of] not in present)]


def _resources(wanted: Json | None, existing: Any) -> Json | None:
    """Complete what somebody asked for, resource by resource, and never mix two opinions.

    A request alone becomes the limit as well, and a limit alone the request: quotas ask for both.
    """
    if not isinstance(existing, Mapping) or wanted is None:
        return wanted if existing in _EMPTY else existing
    theirs = {kind: existing.get(kind) or {} for kind in ("requests", "limits")}
    named = dict.fromkeys((*theirs["limits"], *theirs["requests"]))
    both = {
        "requests": {n: theirs["requests"].get(n, theirs["limits"].get(n)) for n in named},
        "limits": {n: theirs["limits"].get(n, theirs["requests"].get(n)) for n in named},
    }
    complete = {kind: {**wanted[kind], **both[kind]} for kind in both}
    return {**existing, **complete}
