"""The statuses that policy objects have, beside those that they should have. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from remora_operator.cluster.objects import Json
from remora_operator.policies import Condition, ObjectKey, ObjectStatus
from remora_operator.policies.conditions import ConditionStatus, ConditionType


class _Condition(BaseModel):
    type: ConditionType
    status: ConditionStatus
    reason: str = ""
    message: str = ""
    generation: int = Field(default=0, alias="observedGeneration")
    since: datetime | None = Field(default=None, alias="lastTransitionTime")


@dataclass(frozen=True, slots=True)
class _Standing:
    """An object as it stands in the cluster.

    Attributes:
        uid: Another object of the same name has another one.
        version: Its resource version: what is written names it.
        status: Its status, as one text that can be compared.
        conditions: Those of it.
    """

    uid: str
    version: str
    status: str
    conditions: tuple[Condition, ...]


class StatusBook:
    """The statuses of all policy objects."""

    def __init__(self) -> None:
        """Start with none."""
        self._objects: dict[ObjectKey, _Standing] = {}

    def put(self, key: ObjectKey, value: Json) -> None:
        """Take an object as it is now; one that is older than what is kept may come late."""
        metadata, status = value["metadata"], value.get("status") or {}
        version, uid = str(metadata.get("resourceVersion", "")), str(metadata.get("uid", ""))
        self._objects[key] = _Standing(uid, version, _comparable(status), _conditions(status))

    def remove(self, key: ObjectKey) -> None:
        """Forget an object."""
        self._objects.pop(key, None)

    def uid_of(self, key: ObjectKey) -> str | None:
        """Return an object's uid; None: it is not there."""
        standing = self._objects.get(key)
        return None if standing is None else standing.uid

    def conditions(self) -> Mapping[ObjectKey, Sequence[Condition]]:
        """Return the conditions that objects have."""
        return {key: standing.conditions for key, standing in self._objects.items()}

    def difference(self, key: ObjectKey, wanted: ObjectStatus) -> Json | None:
        """Give the patch (RFC 7396) that makes an object say what it should; None: it does.

        The patch names the version of the object that it is for: whoever was quicker is not
        overwritten.
        """
        standing, document = self._objects.get(key), wanted.to_json()
        if standing is None or standing.status == _comparable(document):
            return None
        return {"metadata": {"resourceVersion": standing.version}, "status": document}


def _comparable(status: Mapping[str, Any]) -> str:
    """Write a status so that equal ones are equal; what is null is not there."""
    there = {name: value for name, value in status.items() if value is not None}
    return json.dumps(there, sort_keys=True)


def _conditions(status: Mapping[str, Any]) -> tuple[Condition, ...]:
    return tuple(
        read for value in status.get("conditions") or () if (read := _condition(value)) is not None
    )


def _condition(value: object) -> Condition | None:
    """Read a condition of ours; None: it is another's, and not kept."""
    try:
        read = _Condition.model_validate(value)
    except ValidationError:
        return None
    return Condition(read.type, read.status, read.reason, read.message, read.generation, read.since)
