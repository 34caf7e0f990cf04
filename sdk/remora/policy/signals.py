"""What is told of answers without their users: checks of form, a judge, a second opinion."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from remora.policy.globs import Glob
from remora.policy.learning_fields import Share
from remora.policy.model import ModelName, PolicyModel, ResourceName
from remora.policy.quantities import Duration, Money

MAX_CHECKS = 64
MAX_LABELS = 64
MAX_LABEL_CHARACTERS = 200
MAX_ANSWER_CHARACTERS = 1024 * 1024
"""More of an answer is not looked at."""


def _schema(value: object) -> object:
    if not isinstance(value, Mapping):
        raise ValueError("should be a JSON Schema, which is a mapping")
    # Loaded on first use: few documents have a schema.
    from remora.outcomes.json_schema import schema_problem

    if problem := schema_problem(value):
        raise ValueError(problem)
    return value


SchemaOfJson = Annotated[
    Mapping[str, Any],
    BeforeValidator(_schema),
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]
"""A JSON Schema of draft 2020-12, without what can't be bounded."""

Characters = Annotated[StrictInt, Field(ge=0, le=MAX_ANSWER_CHARACTERS)]
Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARACTERS)]


class LengthRatio(PolicyModel):
    """How long an answer may be for its prompt, for prompts of 1,000 characters and more.

    Attributes:
        min: The smallest part of the prompt's length.
        max: The greatest.
    """

    min: Share | None = None
    max: Annotated[StrictFloat, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _ends_fit_each_other(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a ratio needs min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min should not be greater than max")
        return self


class AnswerCheck(PolicyModel):
    """What answers for some goals have to be; instead of what is checked by default.

    Attributes:
        goal: Which goals it is for; of several checks the first that takes a goal counts.
        is_json: The answer is one JSON document, in a fenced block or not.
        json_schema: What that document has to be; JSON Schema, draft 2020-12.
        code: ``python``: the answer parses as Python; ``any``: it has whole code in it.
        labels: The answer is one of these, whatever its case.
        min_chars: It is no shorter.
        max_chars: It is no longer.
        ratio: How long it may be for its prompt.
        refusals: Whether an answer that refuses is a bad one.
    """

    goal: Glob
    is_json: StrictBool = Field(default=False, alias="json")
    json_schema: SchemaOfJson | None = Field(default=None, alias="schema")
    code: Literal["python", "any"] | None = None
    labels: Annotated[tuple[Label, ...], Field(max_length=MAX_LABELS)] = ()
    min_chars: Characters | None = None
    max_chars: Characters | None = None
    ratio: LengthRatio | None = None
    refusals: Literal["fail", "ignore"] = "fail"

    @model_validator(mode="after")
    def _fields_fit_each_other(self) -> Self:
        short, long = self.min_chars, self.max_chars
        if short is not None and long is not None and short > long:
            raise ValueError("minChars should not be greater than maxChars")
        if self.labels and (self.is_json or self.json_schema is not None or self.code):
            raise ValueError("labels are checked by themselves: leave json, schema and code out")
        return self


class AskedModel(PolicyModel):
    """A model that the sidecar itself asks, through its own proxy.

    Attributes:
        provider: Who serves it; has to speak ``openai-chat``.
        model: Its name there.
        max_cost_usd: The most that the sidecar spends on it in a window; calls whose price is
            unknown are not made.
        window: Fixed and aligned to the epoch in UTC.
    """

    provider: ResourceName
    model: ModelName
    max_cost_usd: Money = Field(alias="maxCostUSD")
    window: Duration = Duration(86_400_000)

    @field_validator("window")
    @classmethod
    def _window_is_some_time(cls, value: Duration) -> Duration:
        if value.milliseconds < 1_000:
            raise ValueError("should be one second or longer")
        return value


class Judge(AskedModel):
    """Who judges answers, some of all that have a goal.

    Attributes:
        sample: Share of the answers that are judged.
        threshold: What is scored below it is told as a failure with its category.
    """

    sample: Share = 0.1
    threshold: Share = 0.7


class SecondOpinion(AskedModel):
    """Who is asked what a user's message says of an answer, where the local classifier guesses.

    Attributes:
        below: The confidence of the local classifier below which it is asked.
    """

    below: Share = 0.7


class Signals(PolicyModel):
    """What is told of answers without their users.

    Attributes:
        checks: Of form; for goals that none takes those of `docs/outcomes.md` apply.
        judge: A model that judges answers; unset: none does.
        classifier: A model that gives a second opinion on users' messages; unset: none does.
    """

    checks: Annotated[tuple[AnswerCheck, ...], Field(max_length=MAX_CHECKS)] = ()
    judge: Judge | None = None
    classifier: SecondOpinion | None = None

    def asked(self) -> Mapping[str, AskedModel]:
        """Give the models that are asked, by the name of their field."""
        named = {"judge": self.judge, "classifier": self.classifier}
        return {name: model for name, model in named.items() if model is not None}
