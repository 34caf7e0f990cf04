"""Paths: what Kalibr's clients register to be chosen from. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from remora.learning.arms import Arm
from remora.learning.decision import Risk
from remora_aggregator.signals.kalibr_models import arm_of

_RANKS: Final[Mapping[str, int]] = {"low": 0, "medium": 1, "high": 2}


@dataclass(frozen=True, slots=True)
class Path:
    """A model with a tool and parameters, for one goal.

    Attributes:
        model_id: As the client names it.
        tool_id: Empty: none.
        risk: Of taking it, as who registered it says.
    """

    goal: str
    model_id: str
    tool_id: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    risk: Risk = "low"
    is_enabled: bool = True
    created_unix_ns: int = 0
    updated_unix_ns: int = 0

    @property
    def path_id(self) -> str:
        """Follows from what it is, so that whoever registers it again registers the same."""
        shown = json.dumps(
            [self.goal, self.model_id, self.tool_id, self.params],
            sort_keys=True, separators=(",", ":"),
        )  # fmt: skip
        return f"path_{hashlib.sha256(shown.encode()).hexdigest()[:24]}"

    @property
    def arm(self) -> Arm:
        """What is learned about it."""
        return arm_of(self.model_id, self.tool_id, self.params)


def may_take(path: Path, task_risk: Risk) -> bool:
    """Tell whether a path is for a task of some risk: the more depends on it, the less risky.

    Low is what everybody asks with who says nothing: any path will do.
    """
    return _RANKS[path.risk] <= 2 - _RANKS[task_risk]


def eligible(
    goal: str, paths: Iterable[Path], candidates: Sequence[str] | None, task_risk: Risk
) -> list[Path]:
    """Choose the paths that a call may take, in the order in which they were registered.

    Args:
        goal: What the call is for.
        paths: All that are registered for it, disabled ones included.
        candidates: Models that the client can call; None: it does not say. One that has no path,
            not even a disabled one, is as good as a path of that model alone.
        task_risk: Where no enabled path is for it, the least risky ones are taken.
    """
    known = list(paths)
    models = None if candidates is None else dict.fromkeys(candidates)
    usable = [p for p in known if p.is_enabled and (models is None or p.model_id in models)]
    unheard = (models or {}).keys() - {path.model_id for path in known}
    usable += [Path(goal, model) for model in models or () if model in unheard]
    fit = [path for path in usable if may_take(path, task_risk)]
    if not fit and usable:
        least = min(_RANKS[path.risk] for path in usable)
        fit = [path for path in usable if _RANKS[path.risk] == least]
    return list({path.arm.key: path for path in reversed(fit)}.values())[::-1]
