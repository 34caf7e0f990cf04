"""What stands on a pod about its policy, for the replicas that do not hold its stream. Pure.

Two annotations: the version in force, and what was refused, as JSON. Whoever may change the pod
may write there what he likes: it is believed for counting and showing alone.
"""

import json
import re
from collections.abc import Mapping

from pydantic import BaseModel, Field, ValidationError

from remora.errors import Problem
from remora_operator.inject.layout import POLICY_REFUSED_ANNOTATION, POLICY_VERSION_ANNOTATION
from remora_operator.policies import Answer, Refusal

_VERSION = re.compile(r"[0-9a-f]{1,64}")
_MAX_CHARACTERS = 300


class _Refused(BaseModel):
    version: str = Field(pattern=r"^[0-9a-f]{1,64}$")
    field_path: str = Field(alias="fieldPath", max_length=_MAX_CHARACTERS + 1)
    reason: str = Field(max_length=_MAX_CHARACTERS + 1)


def report(answer: Answer) -> Mapping[str, str | None]:
    """Return the annotations that say what a sidecar answered; None takes one away."""
    return {
        POLICY_VERSION_ANNOTATION: answer.applied if _VERSION.fullmatch(answer.applied) else None,
        POLICY_REFUSED_ANNOTATION: _refused(answer.refusal),
    }


def _refused(refusal: Refusal | None) -> str | None:
    if refusal is None:
        return None
    first = refusal.problems[0]
    return json.dumps(
        {"version": refusal.version, "fieldPath": first.where, "reason": first.what},
        ensure_ascii=False,
    )


def reported_version(annotations: Mapping[str, str]) -> str:
    """Read the version in force; empty: there is none, or none that ours can be."""
    text = annotations.get(POLICY_VERSION_ANNOTATION, "")
    return text if _VERSION.fullmatch(text) else ""


def reported_refusal(annotations: Mapping[str, str]) -> Refusal | None:
    """Read what was refused; None: nothing, or nothing that can be read."""
    text = annotations.get(POLICY_REFUSED_ANNOTATION)
    if not text:
        return None
    try:
        read = _Refused.model_validate_json(text)
    except ValidationError:
        return None
    shown = (_plain(part) for part in (read.field_path, read.reason))
    return Refusal(read.version, (Problem(*shown),), turn=0)


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
