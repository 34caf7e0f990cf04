"""The JSON of a record, as a schema: what `remora.cli.record_json` writes, key by key.

docs/cli.md promises the keys. Programs must pass over keys that they do not know.
"""

from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model

MONEY: Final = r"^-?[0-9]+(\.[0-9]+)?$"
CALL_ID: Final = r"^[0-9a-f]{32}$"


class Answer(BaseModel):
    """Base of what is answered; never answered itself."""

    model_config = ConfigDict(frozen=True)


def money(description: str) -> Any:
    """Describe an amount in USD as a decimal string."""
    return Field(description=description, pattern=MONEY)


def moment(description: str) -> Any:
    """Describe a time as ISO 8601 in UTC."""
    return Field(description=description, json_schema_extra={"format": "date-time"})


class ErrorAnswer(Answer):
    """Why a call failed."""

    model_config = ConfigDict(title="CallError")

    type: str
    message: str


class UsageAnswer(Answer):
    """What a call used, as the provider stated it; null where it stated nothing."""

    model_config = ConfigDict(title="Usage")

    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    input_audio_tokens: int | None
    output_audio_tokens: int | None
    input_image_tokens: int | None
    output_image_tokens: int | None
    cache_write_1h_tokens: int | None
    billed_input_tokens: int | None
    billed_output_tokens: int | None
    input_audio_seconds: float | None
    web_searches: int | None
    rerank_searches: int | None
    cache_read_audio_tokens: int | None
    cache_read_image_tokens: int | None
    estimated: bool = Field(description="The figures are our own guess.")


class CostAnswer(Answer):
    """What a call cost in USD, by which price list."""

    model_config = ConfigDict(title="Cost")

    total_usd: str = money("All of it.")
    input_usd: str = money("Of the prompt.")
    output_usd: str = money("Of the answer.")
    price_source: str
    price_date: str


class CacheAnswer(Answer):
    """What the cache made of a call."""

    model_config = ConfigDict(title="CacheVerdict")

    result: str = Field(description="`hit`, `miss` or `bypass`.")
    reason: str | None
    age_s: float | None
    original_latency_s: float | None
    saved_usd: str | None = money("What the answer would have cost.")


class OutcomeAnswer(Answer):
    """What can be told of an answer without asking anybody."""

    model_config = ConfigDict(title="Outcome")

    kind: str = Field(description="`check_passed`, `check_failed` or `provider_error`.")
    strength: float = Field(description="How good the answer was, from 0 to 1.")
    confidence: float = Field(description="How sure that is, from 0 to 1.")
    failure_category: str | None = Field(description="Why it was no good; null if it was.")
    failed_checks: list[str]


def parameters() -> Any:
    """Describe what policy set in a request besides the model."""
    return Field(description="What policy set in the request besides the model; null: nothing.")


class AttemptAnswer(Answer):
    """One try of a call against one provider and model."""

    model_config = ConfigDict(title="Attempt")

    provider: str | None
    model: str | None
    parameters: dict[str, Any] | None = parameters()
    status_code: int | None
    duration_s: float | None
    error: ErrorAnswer | None
    reused_connection: bool
    failure: str | None = Field(description="Why it failed, in a word, where that decided on more.")
    usage: UsageAnswer | None = Field(description="What a failed try stated.")
    cost: CostAnswer | None


class CandidateAnswer(Answer):
    """A provider's model that a call might have gone to."""

    model_config = ConfigDict(title="Candidate")

    model_id: str
    provider: str
    score: float | None
    est_cost_usd: str | None = money("What the call was likely to cost there.")
    reasons: list[str]
    filtered_out_by: str | None
    parameters: dict[str, Any] | None = parameters()
    propensity: float | None = Field(
        description="How likely it was, where that was left to chance."
    )
    note: str | None = Field(description="In a word, why it was not likelier.")


class DecisionAnswer(Answer):
    """Where a call went."""

    model_config = ConfigDict(title="Decision")

    model_id: str | None
    provider: str | None
    requested_model_id: str | None
    strategy: str
    router: str | None
    propensity: float | None
    risk: str | None = Field(description="Of learned routing: `low`, `medium` or `high`.")
    reason: str | None = Field(
        description="Of learned routing: `exploitation`, `thompson` or `exploration`."
    )
    scores: str | None = Field(description="Digest of the scores that learned routing went by.")
    fallback_chain: list[str]
    prompt_rewritten: bool
    credential: str | None
    refused_by: str | None


class BudgetAnswer(Answer):
    """What a budget said."""

    model_config = ConfigDict(title="Budget")

    name: str
    per: str
    result: str
    spent_usd: str | None = money("Before the call, with what others had reserved.")
    limit_usd: str | None = money("Of the budget.")
    spent_tokens: int | None
    limit_tokens: int | None
    resets_at: str | None = moment("When its window ends.")


class ReceiptAttemptAnswer(Answer):
    """One try of a call, in the words of receipts."""

    model_config = ConfigDict(title="ReceiptAttempt")

    provider: str | None
    model_id: str | None
    parameters: dict[str, Any] | None = parameters()
    status_code: int | None
    failure: str | None
    error: str | None
    duration_ms: float | None
    cost_usd: str | None = money("What it cost.")


class ExecutionAnswer(Answer):
    """What came of a call."""

    model_config = ConfigDict(title="Execution")

    actual_cost_usd: str | None = money("What it cost.")
    actual_latency_ms: float
    status: str


class ReceiptAnswer(Answer):
    """Why a call went where it went, and what came of it."""

    model_config = ConfigDict(title="Receipt")

    receipt_id: str
    policy: str | None
    policy_version: str | None
    rule: str | None
    classification: None
    candidates: list[CandidateAnswer]
    decision: DecisionAnswer
    budgets: list[BudgetAnswer]
    cache: str | None
    attempts: list[ReceiptAttemptAnswer]
    execution: ExecutionAnswer


class BodyAnswer(Answer):
    """A body as policy captured it: as text where it is UTF-8, else as base64."""

    model_config = ConfigDict(title="Body")

    text: str | None
    base64: str | None
    original_bytes: int = Field(description="Its size before any limit cut it.")
    truncated: bool
    content_type: str | None


class RecordAnswer(Answer):
    """One call. Money is a decimal string, times are ISO 8601 in UTC, the unknown is null."""

    model_config = ConfigDict(title="Record")

    call_id: str = Field(pattern=CALL_ID)
    revision: int
    started_at: str = moment("When the request came.")
    received_at: str = moment("When the aggregator received the record, by its own clock.")
    namespace: str | None
    pod_uid: str | None
    session_id: str | None
    data_id: str | None
    combo_id: str | None
    agent_id: str | None
    task_id: str | None
    trace_id: str | None
    parent_span_id: str | None
    goal: str | None = Field(description="What the call was for.")
    pod_name: str | None
    workload: str | None
    node: str | None
    sidecar_version: str | None
    mode: str | None
    original_destination: str | None
    labels: dict[str, str]
    provider: str | None
    dialect: str | None
    operation: str | None
    method: str | None
    url: str | None
    model: str | None = Field(description="As served, else as sent, else as requested.")
    requested_model: str | None
    sent_model: str | None
    response_model: str | None
    stream: bool
    status_code: int | None
    end_reason: str | None
    finish_reason: str | None
    error: ErrorAnswer | None
    response_id: str | None
    provider_request_id: str | None
    tool_names: list[str]
    usage: UsageAnswer | None
    cost: CostAnswer | None
    latency_s: float
    ttft_s: float | None
    overhead_s: float | None
    request_bytes: int
    response_bytes: int
    cached: bool
    cache: CacheAnswer | None
    opaque: bool
    attempts: list[AttemptAnswer]
    receipt: ReceiptAnswer | None
    outcome: OutcomeAnswer | None = Field(
        description="Null where the call has no goal, or nothing can be told of its answer."
    )
    notes: list[str]
    capture: str | None
    cursor: str = Field(description="Where to go on after this record.")
    request_body: BodyAnswer | None = Field(default=None, description="Only where asked for.")
    response_body: BodyAnswer | None = Field(default=None, description="Only where asked for.")


ALWAYS: Final = ("call_id", "cursor")
"""The keys of a record that are shown whatever is asked for."""


_MISSING: Final = Field(default_factory=lambda: None)
"""Unlike a default, this shows in no schema: a key that is missing is not null."""


def _part_of(model: type[BaseModel], always: tuple[str, ...] = ()) -> type[BaseModel]:
    """Make the model of what is left of an answer where only some keys are asked for."""
    title = f"PartOf{model.model_config.get('title')}"
    fields: dict[str, Any] = {
        name: (_part(field.annotation), ... if name in always else _MISSING)
        for name, field in model.model_fields.items()
    }
    made: type[BaseModel] = create_model(
        title,
        __config__=ConfigDict(title=title),
        __doc__="Those keys that `fields` names.",
        **fields,
    )
    return made


def _part(annotation: Any) -> Any:
    """Replace the models within an annotation by models of parts."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _part_of(annotation)
    inner = get_args(annotation)
    if get_origin(annotation) is UnionType:
        return Union[tuple(_part(one) for one in inner)]  # noqa: UP007 - made at run time
    return list[_part(inner[0])] if get_origin(annotation) is list else annotation  # type: ignore[misc]  # as above


PartOfRecordAnswer: Final = _part_of(RecordAnswer, ALWAYS)


class RecordPageAnswer(Answer):
    """Some records."""

    model_config = ConfigDict(title="RecordPage")

    records: list[PartOfRecordAnswer]  # type: ignore[valid-type]  # as above
    next: str | None = Field(
        description="Ask again with this as `cursor` for more; null: these were the last. A page "
        "may hold fewer records than `limit`, even none, and not be the last."
    )
