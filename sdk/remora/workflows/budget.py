"""What a workflow, step or task may cost, and what happens where it would cost more."""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictInt, model_validator
from pydantic.functional_validators import BeforeValidator

from remora.workflows.model import Usd, WorkflowModel


def _without_alias(value: Any) -> Any:
    return "block" if value == "stop" else value


OnExceed = Annotated[Literal["block", "downgrade", "warn"], BeforeValidator(_without_alias)]
"""``block`` ends with what is there, ``downgrade`` goes on with cheaper models, ``warn`` says so.

``stop`` is another word for ``block``.
"""


class Budget(WorkflowModel):
    """Limits; each one holds by itself.

    Attributes:
        max_cost_usd: Money; 0 permits only what costs nothing.
        max_tokens: Tokens, of prompts and answers together.
        max_latency_ms: Time from begin to end in milliseconds.
        on_exceed: What happens before a call that might go over a limit.
    """

    max_cost_usd: Usd | None = None
    max_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    max_latency_ms: Annotated[StrictInt, Field(ge=1)] | None = None
    on_exceed: OnExceed = "block"

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if (self.max_cost_usd, self.max_tokens, self.max_latency_ms) == (None, None, None):
            raise ValueError("names no limit: give max_cost_usd, max_tokens or max_latency_ms")
        return self

    @property
    def cost_limit_usd(self) -> Decimal:
        """The most that may be spent; infinite without a limit."""
        return Decimal("Infinity") if self.max_cost_usd is None else self.max_cost_usd
