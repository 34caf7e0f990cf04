"""How a step asks models: one, a draft against a verifier, or several at once."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictFloat, StrictInt, model_validator
from pydantic.functional_validators import BeforeValidator

from remora.workflows.model import Json, ModelName, ProviderName, Tier, WorkflowModel

StrategyKind = Literal["single", "speculative", "parallel"]

MAX_RACERS = 8
"""Models that may be asked at once for one answer; all of them are paid."""

DEFAULT_THRESHOLD = 0.8
"""How similar two texts have to be (0 to 1) where nothing else is said."""


def by_kind(value: Any) -> Any:
    """Take a lone word for the kind of something that has nothing else to say."""
    return {"kind": value} if isinstance(value, str) else value


class NamedModel(WorkflowModel):
    """A model by name; the provider is found by the catalogue where none is given."""

    model: ModelName
    provider: ProviderName | None = None


class Agreement(WorkflowModel):
    """When two answers say the same.

    Attributes:
        kind: ``equal``: the same JSON, or the same text but for space; ``similar``: scored.
        threshold: Least score of ``similar``, 0 to 1.
    """

    kind: Literal["equal", "similar"]
    threshold: Annotated[StrictFloat, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _threshold_is_used(self) -> Self:
        if self.kind == "equal" and self.threshold is not None:
            raise ValueError("threshold is of kind similar only")
        return self

    @property
    def least_score(self) -> float:
        """What a score has to reach."""
        return DEFAULT_THRESHOLD if self.threshold is None else self.threshold


class Drafter(WorkflowModel):
    """Who drafts while the step's own model verifies.

    Attributes:
        tier: Where the model is chosen from if none is named.
        model: Names one.
        provider: Who serves it.
    """

    tier: Tier = "fast"
    model: ModelName | None = None
    provider: ProviderName | None = None


class Judge(WorkflowModel):
    """Who picks the best of several answers.

    Attributes:
        tier: Where the model is chosen from if none is named.
        model: Names one.
        provider: Who serves it.
        criteria: What makes an answer the best, in words; empty: how well it does the task.
    """

    tier: Tier = "high"
    model: ModelName | None = None
    provider: ProviderName | None = None
    criteria: Annotated[str, Field(max_length=10_000)] = ""


AgreementField = Annotated[Agreement, BeforeValidator(by_kind)]

_OPTIONS: dict[StrategyKind, frozenset[str]] = {
    "single": frozenset(),
    "speculative": frozenset({"draft", "agreement"}),
    "parallel": frozenset({"n", "candidates", "quorum", "best", "agreement"}),
}
"""What may be said of each kind."""


class Strategy(WorkflowModel):
    """How a step asks.

    Attributes:
        kind: ``single``, ``speculative`` or ``parallel``.
        draft: speculative: who drafts; a fast model where nothing is said.
        agreement: speculative: when the draft is as good as the verifier's answer; parallel:
            when two answers count for one ``quorum``. Default: equal for JSON, else similar.
        n: parallel: how many models are asked.
        candidates: parallel: which ones; default: the first n that the catalogue offers.
        quorum: parallel: how many answers have to agree before one is taken.
        best: parallel: all answers are awaited and a judge takes the best.
    """

    kind: StrategyKind = "single"
    draft: Drafter | None = None
    agreement: AgreementField | None = None
    n: Annotated[StrictInt, Field(ge=2, le=MAX_RACERS)] | None = None
    candidates: Annotated[tuple[NamedModel, ...], Field(min_length=2, max_length=MAX_RACERS)] = ()
    quorum: Annotated[StrictInt, Field(ge=2, le=MAX_RACERS)] | None = None
    best: Judge | None = None

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        unfit = self.model_fields_set - {"kind"} - _OPTIONS[self.kind]
        if unfit:
            raise ValueError(f"{', '.join(sorted(unfit))}: not of strategy {self.kind}")
        if self.kind == "parallel":
            self._racers_fit()
        return self

    def _racers_fit(self) -> None:
        if self.n is not None and self.candidates and self.n != len(self.candidates):
            raise ValueError(f"n is {self.n}, but {len(self.candidates)} candidates are named")
        if self.quorum is not None and self.best is not None:
            raise ValueError("quorum and best: only one of them can decide")
        if self.quorum is not None and self.quorum > self.racers:
            raise ValueError(f"a quorum of {self.quorum} can't come from {self.racers} answers")
        if self.agreement is not None and self.quorum is None:
            raise ValueError("agreement decides nothing without quorum")

    @property
    def racers(self) -> int:
        """How many models are asked the step's question."""
        if self.kind == "single":
            return 1
        if self.kind == "speculative":
            return 2
        return self.n or len(self.candidates) or max(2, (self.quorum or 0) + 1)

    @property
    def drafter(self) -> Drafter:
        """Who drafts, of a speculative step."""
        return self.draft or Drafter()


class Check(WorkflowModel):
    """What an answer has to pass beyond being of its type.

    Attributes:
        kind: ``schema``, ``length`` or ``cel``.
        json_schema: ``schema``: a JSON Schema of the answer; the field is ``schema``.
        min_characters: ``length``: of the answer's text.
        max_characters: ``length``: of the answer's text.
        expression: ``cel``: true of good answers; knows ``output``, ``text`` and ``input``.
    """

    kind: Literal["schema", "length", "cel"]
    json_schema: Json | None = Field(default=None, alias="schema")
    min_characters: Annotated[StrictInt, Field(ge=0)] | None = None
    max_characters: Annotated[StrictInt, Field(ge=1)] | None = None
    expression: Annotated[str, Field(min_length=1, max_length=4096)] | None = None

    @model_validator(mode="after")
    def _says_what_its_kind_needs(self) -> Self:
        fields = self.model_fields_set - {"kind"}
        allowed = _CHECK_FIELDS[self.kind]
        if not fields or not fields <= allowed:
            names = ", ".join(sorted(name.removeprefix("json_") for name in allowed))
            raise ValueError(f"a check of kind {self.kind} has {names} and nothing else")
        low, high = self.min_characters, self.max_characters
        if low is not None and high is not None and low > high:
            raise ValueError("min_characters is more than max_characters")
        return self


_CHECK_FIELDS: dict[str, frozenset[str]] = {
    "schema": frozenset({"json_schema"}),
    "length": frozenset({"min_characters", "max_characters"}),
    "cel": frozenset({"expression"}),
}

StrategyField = Annotated[Strategy, BeforeValidator(by_kind)]
