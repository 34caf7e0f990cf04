"""What a model is asked, and whom: values between the run's machine and whoever asks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from remora.workflows.capabilities import needs_of
from remora.workflows.choosing import ModelPrice
from remora.workflows.estimate import Role
from remora.workflows.model import Tier
from remora.workflows.step import Need, Step
from remora_sidecar.workflows.amounts import Load

Purpose = Literal["answer", "draft", "verify", "judge", "repair"]
"""What an answer is wanted for."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message as it is sent.

    Attributes:
        role: ``system``, ``user`` or ``assistant``.
        text: Its text.
        attachments: Kind (``image``, ``audio``) and URL of each thing attached.
    """

    role: str
    text: str
    attachments: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How an answer is wanted.

    Attributes:
        type: ``text`` or ``json``.
        schema: JSON Schema of the JSON; None: any.
        name: Names the schema, for providers that ask for a name.
    """

    type: Literal["text", "json"] = "text"
    schema: Any = None
    name: str = "answer"


@dataclass(frozen=True)
class ModelWish:
    """What kind of model is wanted.

    Attributes:
        step: The step that asks.
        role: Tier, and a model or provider where one is named.
        purpose: What for.
        downgraded: Whether a budget asks for cheaper models than the role says.
        input_tokens: Size of the prompt, at most.
        output_tokens: Size of the answer, at most.
    """

    step: Step
    role: Role
    purpose: Purpose
    downgraded: bool
    input_tokens: int
    output_tokens: int

    @property
    def needs(self) -> tuple[Need, ...]:
        """Capabilities that the model has to have, or had better have."""
        return needs_of(self.step)


@dataclass(frozen=True, slots=True)
class Target:
    """A model that may be asked.

    Attributes:
        provider: Name in the registry of providers.
        model: As the provider takes it.
        tier: How strong it is.
        price: None: unknown.
        thought_tokens: Room that it needs beyond the answer.
    """

    provider: str
    model: str
    tier: Tier = "balanced"
    price: ModelPrice | None = None
    thought_tokens: int = 0

    @property
    def name(self) -> str:
        """Provider and model, as people write them."""
        return f"{self.provider}/{self.model}"


type Choose = Callable[[ModelWish], Sequence[Target]]
"""Gives the models that fit a wish, best first; none if there is none.

For a downgraded wish cheaper ones come; a model that is named is not replaced.
"""


@dataclass(frozen=True)
class Question:
    """One question to one model.

    Attributes:
        step_id: Which step asks.
        item: Place of the item that a mapped step asks about; None without ``map``.
        attempt: Which try of the step, from 1.
        wish: What kind of model was wanted.
        target: Who is asked.
        messages: The conversation.
        form: How the answer is wanted.
        max_tokens: Longest answer, thoughts included.
        estimate: What is reserved for it.
        timeout_ms: When it is given up; None: as the engine has it.
        parameters: What else is sent, ``temperature`` and its like included.
    """

    step_id: str
    item: int | None
    attempt: int
    wish: ModelWish
    target: Target
    messages: tuple[SentMessage, ...]
    form: AnswerForm
    max_tokens: int
    estimate: Load
    timeout_ms: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def purpose(self) -> Purpose:
        """What for."""
        return self.wish.purpose

    @property
    def goal(self) -> str | None:
        """Kind of work, for learned routing; None: the name of workflow and step."""
        return self.wish.step.goal


def parameters_of(step: Step) -> dict[str, Any]:
    """Return the parameters that a step sends beside its messages."""
    said = {
        "temperature": step.temperature,
        "top_p": step.top_p,
        "seed": step.seed,
        "stop": list(step.stop) or None,
    }
    return {**step.parameters, **{name: value for name, value in said.items() if value is not None}}
