"""Arms: what learned routing chooses from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

type Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Arm:
    """A model of a provider, asked with some parameters.

    Attributes:
        parameters: What else sets it apart, such as ``temperature``; in any order.
    """

    provider: str
    model: str
    parameters: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name it in scores and receipts: ``provider/model``, with its parameters as JSON."""
        if not self.parameters:
            return f"{self.provider}/{self.model}"
        shown = json.dumps(dict(self.parameters), sort_keys=True, separators=(",", ":"))
        return f"{self.provider}/{self.model} {shown}"

    def __hash__(self) -> int:
        return hash(self.key)
