"""What a run is about, so that a run file is never gone on with for something else. Pure."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from remora.selectors.combination import Combination

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def fingerprint(
    agent: Any, combinations: Sequence[Combination], dataset: Sequence[tuple[Any, Any]]
) -> dict[str, str]:
    """Describe a run by what its evaluations depend on, each in a short text."""
    return {
        "agent": str(getattr(agent, "__qualname__", type(agent).__qualname__)),
        "models": _digest(combination.label for combination in combinations),
        "dataset": _digest(_text(pair) for pair in dataset),
    }


def _digest(texts: Iterable[str]) -> str:
    made = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        made.update(b"%d:" % len(encoded) + encoded)
    return made.hexdigest()


def _text(value: Any) -> str:
    """Write a value the same in every process; objects by what they show of themselves."""
    return json.dumps(_plain(value), ensure_ascii=True)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return [type(value).__qualname__, _plain(fields)]
    if isinstance(value, Mapping):
        return ["mapping", *sorted((_text(k), _plain(v)) for k, v in value.items())]
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, set | frozenset):
        return ["set", *sorted(_text(entry) for entry in value)]
    if isinstance(value, bytes | bytearray):
        return ["bytes", hashlib.sha256(value).hexdigest()]
    return _ADDRESS.sub("", repr(value))
