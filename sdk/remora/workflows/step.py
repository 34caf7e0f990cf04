"""A step of a workflow: one question to a model, or one for each item of a list."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, StrictFloat, StrictInt, model_validator
from pydantic.functional_validators import BeforeValidator

from remora.policy.quantities import Duration
from remora.workflows.budget import Budget
from remora.workflows.model import (
    Capability,
    GoalName,
    ItemName,
    Json,
    ModelName,
    ProviderName,
    StepId,
    TemplateText,
    Tier,
    WorkflowModel,
)
from remora.workflows.strategy import Check, Strategy, StrategyField, by_kind

DEFAULT_MAX_TOKENS: Mapping[Tier, int] = {"fast": 1024, "balanced": 2048, "high": 4096}
"""What an answer may have where the step does not say: estimates and calls both go by it."""

_OWN_PARAMETERS = frozenset(
    {
        "input",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "response_format",
        "seed",
        "stop",
        "stream",
        "temperature",
        "top_p",
    }
)
"""Parameters of a request that fields of a step say, or that are not a step's to say."""

_RESERVED_ITEM_NAMES = frozenset({"goal", "input", "steps"})


class Attachment(WorkflowModel):
    """Something to look at or listen to.

    Attributes:
        kind: What it is; the model then has to be able to take it.
        url: A template that gives an https or data URL.
    """

    kind: Literal["image", "audio"]
    url: TemplateText


class Message(WorkflowModel):
    """One message of a conversation; the content is a template."""

    role: Literal["system", "user", "assistant"]
    content: TemplateText
    attachments: Annotated[tuple[Attachment, ...], Field(max_length=32)] = ()


class Need(WorkflowModel):
    """A capability that the model has to have, or had better have.

    Attributes:
        kind: Which one.
        required: Whether a model without it is out; otherwise those that have it go first.
    """

    kind: Capability
    required: StrictBool = True


NeedField = Annotated[Need, BeforeValidator(by_kind)]


def _output(value: Any) -> Any:
    if isinstance(value, str):
        return {"type": value}
    if isinstance(value, dict) and "schema" in value and "type" not in value:
        return {"type": "json", **value}
    return value


class Output(WorkflowModel):
    """What an answer has to be.

    Attributes:
        type: ``text``, or ``json``: then it is read, and the value stands for the answer.
        json_schema: What the JSON has to be; the field is ``schema``.
    """

    type: Literal["text", "json"] = "text"
    json_schema: Json | None = Field(default=None, alias="schema")

    @model_validator(mode="after")
    def _text_has_no_schema(self) -> Self:
        if self.type == "text" and self.json_schema is not None:
            raise ValueError("schema: only of type json")
        return self


OutputField = Annotated[Output, BeforeValidator(_output)]


class Retry(WorkflowModel):
    """How often a question is asked again whose answer failed or did not pass.

    Attributes:
        attempts: Tries in all, the first included.
        initial: Pause before the second try; it doubles with each further one.
        max: Longest pause.
    """

    attempts: Annotated[StrictInt, Field(ge=1, le=10)] = 1
    initial: Duration = Duration(500)
    max: Duration = Duration(5_000)

    def pause_ms(self, failed: int) -> int:
        """Return how long to wait after so many tries that failed, in milliseconds."""
        return min(self.initial.milliseconds << (failed - 1), self.max.milliseconds)

    @property
    def pauses_ms(self) -> int:
        """All pauses together, if every try but the last fails, in milliseconds."""
        return sum(self.pause_ms(failed) for failed in range(1, self.attempts))


class Map(WorkflowModel):
    """Asks once for every item of a list; the answers make a list in the same order.

    Attributes:
        over: A template that is one reference, to a list.
        item: What templates of the step call an item; the field is ``as``.
        concurrency: Most items asked about at one time.
        max_items: Longest list; a longer one fails the step before anything is spent.
    """

    over: TemplateText
    item: ItemName = Field(default="item", alias="as")
    concurrency: Annotated[StrictInt, Field(ge=1, le=64)] = 4
    max_items: Annotated[StrictInt, Field(ge=1, le=1000)] = 100

    @model_validator(mode="after")
    def _item_has_a_name_of_its_own(self) -> Self:
        if self.item in _RESERVED_ITEM_NAMES:
            raise ValueError(f"as: {self.item!r} has a meaning already: choose another name")
        return self


class Step(WorkflowModel):
    """One step.

    Attributes:
        id: Names the step within its workflow.
        description: For people.
        prompt: Template of the user's message; or else ``messages``.
        system: Template of the system message before a ``prompt``.
        messages: The whole conversation, instead of ``prompt`` and ``system``.
        tier: How strong a model is wanted.
        model: Pins one; the tier then only says how long an answer may get.
        provider: Who serves the model; or to choose from this provider's models only.
        strategy: How models are asked.
        capabilities: What the model has to be able to do.
        checks: What the answer has to pass.
        depends_on: Steps that have to come first, besides those that templates refer to.
        condition: JSONLogic; a step for which it does not hold is skipped.
        budget: What the step may cost, all its calls together.
        retry: How often it asks.
        timeout: Longest time for one call.
        output: What the answer has to be.
        map: Asks once for every item of a list.
        on_failure: ``fail``: the workflow fails; ``skip``: steps that need this one are
            skipped; ``default``: its output is ``default``. With ``map`` it is said of each
            item: ``skip`` leaves it out of the list.
        default: Output of the step if it is skipped, or if it fails and on_failure says so;
            with ``map`` an item's, and the list is empty if the step is skipped.
        goal: Kind of work, for learned routing; default: name of workflow and step.
        temperature: Sent as it is, as are top_p, seed and stop.
        max_tokens: Longest answer; default by tier.
        parameters: Anything else that the provider's API takes.
    """

    id: StepId
    description: Annotated[str, Field(max_length=2000)] = ""
    prompt: TemplateText | None = None
    system: TemplateText | None = None
    messages: Annotated[tuple[Message, ...], Field(max_length=100)] = ()
    tier: Tier = "balanced"
    model: ModelName | None = None
    provider: ProviderName | None = None
    strategy: StrategyField = Strategy()
    capabilities: Annotated[tuple[NeedField, ...], Field(max_length=32)] = ()
    checks: Annotated[tuple[Check, ...], Field(max_length=16)] = ()
    depends_on: Annotated[tuple[StepId, ...], Field(max_length=200)] = ()
    condition: Json | None = None
    budget: Budget | None = None
    retry: Retry = Retry()
    timeout: Duration | None = None
    output: OutputField = Output()
    map: Map | None = None
    on_failure: Literal["fail", "skip", "default"] = "fail"
    default: Json | None = None
    goal: GoalName | None = None
    temperature: Annotated[float, Field(ge=0, le=2, strict=True)] | None = None
    top_p: Annotated[StrictFloat, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    seed: StrictInt | None = None
    stop: Annotated[tuple[str, ...], Field(max_length=4)] = ()
    parameters: Mapping[str, Json] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _asks_in_one_way(self) -> Self:
        if (self.prompt is None) == (not self.messages):
            raise ValueError("should have either prompt or messages")
        if self.messages and self.system is not None:
            raise ValueError("system goes with prompt: with messages, write a system message")
        if self.messages and self.messages[-1].role != "user":
            raise ValueError("messages: the last one should be the user's")
        return self

    @model_validator(mode="after")
    def _fields_fit_each_other(self) -> Self:
        if self.on_failure == "default" and not self.has_default:
            raise ValueError("on_failure is default, but no default is given")
        if self.model is not None and self.strategy.candidates:
            raise ValueError("model: the strategy names its candidates already")
        if self.timeout is not None and not self.timeout.milliseconds:
            raise ValueError("timeout: should be more than 0")
        own = sorted(_OWN_PARAMETERS.intersection(self.parameters))
        if own:
            raise ValueError(f"parameters: {', '.join(own)} can't be given here")
        if not isinstance(self.condition, dict | bool | None):
            raise ValueError('condition: should be a JSONLogic rule, such as {"!!": [...]}')
        return self

    @property
    def has_default(self) -> bool:
        """Whether a default is given; it may be null."""
        return "default" in self.model_fields_set

    @property
    def answer_limit_tokens(self) -> int:
        """The longest answer, as calls ask for it and estimates count it."""
        return self.max_tokens or DEFAULT_MAX_TOKENS[self.tier]

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The messages that are sent, as templates."""
        if self.messages:
            return self.messages
        first = () if self.system is None else (Message(role="system", content=self.system),)
        return (*first, Message(role="user", content=self.prompt or ""))
