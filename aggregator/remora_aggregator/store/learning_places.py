"""Places of sums: an arm for a goal, of a workload in a namespace, by a number. And their arms."""

import json
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from remora.learning.arms import Arm
from remora_aggregator.store.facts import Value, column_text
from remora_aggregator.store.learning_rows import Rows


class Place(NamedTuple):
    """Where evidence is summed up.

    Attributes:
        arm: Its key, as a column holds it.
    """

    namespace: str
    goal: str
    workload: str
    arm: str


ARM: Final = ("provider", "model", "parameters")
"""The columns of an arm."""

_KEY: Final = Place._fields


def arm_of(provider: Value, model: Value, parameters: Value) -> Arm:
    """Read `ARM`."""
    return Arm(str(provider), str(model), json.loads(str(parameters)))


def _written(arm: Arm) -> tuple[str, str, str]:
    parameters = json.dumps(dict(arm.parameters), sort_keys=True, separators=(",", ":"))
    return column_text(arm.provider), column_text(arm.model), parameters.replace("\0", "")


def arm_key(arm: Arm) -> str:
    """Give an arm's key as a column holds it."""
    return column_text(arm.key)


def numbers_of(rows: Rows, arms: Mapping[Place, Arm]) -> Mapping[Place, int]:
    """Give the numbers of places; those that are new get one."""
    found = _known(rows, arms)
    new = {place: arm for place, arm in arms.items() if place not in found}
    if new:
        values = [(*place, *_written(arm)) for place, arm in new.items()]
        rows.put("score_places", _KEY, ("provider", "model", "parameters"), values)
        found |= _known(rows, new)
    return found


def _known(rows: Rows, places: Iterable[Place]) -> dict[Place, int]:
    sql = (
        f"select {', '.join(_KEY)}, place from score_places "  # noqa: S608 - our own words
        f"where ({', '.join(_KEY)}) in {{}}"
    )
    return {Place(*map(str, key)): int(place) for *key, place in rows.among(sql, places)}  # type: ignore[arg-type]  # a number
