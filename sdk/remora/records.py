"""The record of a call: the durable fact that every part of Remora speaks about.

A superset of the tracker's ``CallRecord``. Plain frozen values; `remora.record_wire`
turns them into the wire form and back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from remora.frozen import quickly_made
from remora.receipt import Receipt

PARSE_FAILED_MODEL = "<parse-failed>"
"""Model shown where usage of a successful call is unreadable and the request named none."""


class EndReason(Enum):
    """How a call ended, from the agent's point of view; values are the wire numbers."""

    UNSPECIFIED = 0
    COMPLETED = 1
    CLIENT_GONE = 2
    PROVIDER_CUT = 3
    NO_ANSWER = 4
    REFUSED = 5
    STOPPED = 6


@quickly_made
@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used, as the provider stated it; None where it stated nothing.

    Attributes:
        input_tokens: All of the prompt, what was cached included.
        output_tokens: All that was generated, reasoning included.
        cache_write_1h_tokens: Those of ``cache_write_tokens`` that are kept for an hour,
            which costs more than the usual five minutes.
        billed_input_tokens: What is charged for, where the provider states it apart from
            what was processed; so ``billed_output_tokens``.
        cache_read_audio_tokens: Those of ``cache_read_tokens`` that are audio, which has a
            price of its own; so ``cache_read_image_tokens``.
        input_audio_seconds: Length of what was transcribed, where that is charged.
        web_searches: Searches that the provider's own tools made.
        rerank_searches: Search units of a rerank call.
        estimated: The figures are a guess of ours.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_image_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    billed_input_tokens: int | None = None
    billed_output_tokens: int | None = None
    input_audio_seconds: float | None = None
    web_searches: int | None = None
    rerank_searches: int | None = None
    cache_read_audio_tokens: int | None = None
    cache_read_image_tokens: int | None = None
    estimated: bool = False


@quickly_made
@dataclass(frozen=True, slots=True)
class Cost:
    """What a call cost in USD, by which price list."""

    total_usd: Decimal
    input_usd: Decimal
    output_usd: Decimal
    price_source: str
    price_date: str


@dataclass(frozen=True, slots=True)
class CallError:
    """Why a call failed: the provider's own type where it named one, else one of ours."""

    type: str
    message: str


@quickly_made
@dataclass(frozen=True, slots=True)
class CacheVerdict:
    """What the cache made of a call.

    Attributes:
        result: ``hit``, ``miss`` or ``bypass``.
        reason: Why it was passed by, or who made the answer that was shared.
        age_s: Of the answer; None where none was taken from the cache.
        original_latency_s: What the answer took when it was made.
        saved_usd: What it would have cost; None where the price is unknown.
    """

    result: str
    reason: str = ""
    age_s: float | None = None
    original_latency_s: float | None = None
    saved_usd: Decimal | None = None


@quickly_made
@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a call against one provider and model.

    Attributes:
        failure: Why it failed, in one word, where that decided what was done next.
        usage: What a failed try stated, which the call's own usage does not include.
        parameters: What policy set in the request besides the model, as a JSON object; empty:
            nothing.
    """

    provider: str
    model: str
    status_code: int
    duration_s: float
    error: CallError | None = None
    reused_connection: bool = False
    failure: str = ""
    usage: Usage | None = None
    cost: Cost | None = None
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """A body as policy captured it; ``original_bytes`` is its size on the wire."""

    content: bytes
    original_bytes: int
    truncated: bool = False
    content_type: str = ""


@quickly_made
@dataclass(frozen=True, slots=True)
class Attribution:
    """Which session, task and trace a call belongs to, and what it is for; empty where not said."""

    session_id: str = ""
    data_id: str = ""
    combo_id: str = ""
    agent_id: str = ""
    task_id: str = ""
    trace_id: str = ""
    parent_span_id: str = ""
    goal: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call was made, as the sidecar knows it; ``labels`` are the pod's."""

    pod_name: str = ""
    workload: str = ""
    node: str = ""
    sidecar_version: str = ""
    mode: str = ""
    original_destination: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What can be told of an answer without asking anybody.

    Attributes:
        kind: ``check_passed``, ``check_failed`` or ``provider_error``.
        strength: How good the answer was, from 0 to 1.
        confidence: How sure that is, from 0 to 1.
        failure_category: Why it was no good, one of `remora.outcomes.CATEGORIES`; empty if it was.
        failed_checks: Names of the checks that it failed.
    """

    kind: str
    strength: float
    confidence: float
    failure_category: str = ""
    failed_checks: tuple[str, ...] = ()


@quickly_made
@dataclass(frozen=True, slots=True)
class CallRecord:
    """The durable fact about one call.

    Attributes:
        call_id: UUIDv7, 32 hex digits.
        url: As requested, without credentials.
        status_code: 0 where no answer came.
        started_unix_ns: When the request head was read, UTC.
        latency_s: From the request head to the end of the answer.
        ttft_s: From the request head to the first byte of the answer's body.
        overhead_s: Time spent in Remora rather than waiting for provider or agent.
        cached: The answer came out of the cache: its usage is that of the call that made
            it, its cost nothing.
        cache: What the cache made of the call; None where policy has no cache.
        opaque: Relayed without being read.
        receipt: What policy made of the call; None where nobody asked it.
        outcome: None where the call has no goal, or nothing can be told of its answer.
        notes: What a reader should know and no other field says.
    """

    call_id: str
    started_unix_ns: int
    provider: str = ""
    dialect: str = ""
    operation: str = ""
    method: str = ""
    url: str = ""
    attribution: Attribution = field(default_factory=Attribution)
    origin: Origin = field(default_factory=Origin)
    requested_model: str = ""
    sent_model: str = ""
    response_model: str = ""
    stream: bool = False
    status_code: int = 0
    end_reason: EndReason = EndReason.UNSPECIFIED
    finish_reason: str = ""
    error: CallError | None = None
    response_id: str = ""
    provider_request_id: str = ""
    tool_names: tuple[str, ...] = ()
    usage: Usage | None = None
    cost: Cost | None = None
    latency_s: float = 0.0
    ttft_s: float | None = None
    overhead_s: float | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    cached: bool = False
    cache: CacheVerdict | None = None
    opaque: bool = False
    attempts: tuple[Attempt, ...] = ()
    receipt: Receipt | None = None
    outcome: Outcome | None = None
    notes: tuple[str, ...] = ()
    capture: str = "metadata"
    request_body: Body | None = None
    response_body: Body | None = None
    revision: int = 0

    @property
    def model(self) -> str:
        """The model to show: as served, else as sent, else as requested."""
        return self.response_model or self.sent_model or self.requested_model

    @property
    def paid_usd(self) -> Decimal | None:
        """What the call and its tries that failed cost together; None: a part of it is unknown.

        What failed without a usage cost nothing.
        """
        failed = [attempt.cost.total_usd for attempt in self.attempts if attempt.cost is not None]
        if self.cost is not None:
            return sum(failed, self.cost.total_usd)
        if self.usage is None and self.error is not None:
            return sum(failed, Decimal(0))
        return None


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record with what the aggregator itself stamped on it."""

    record: CallRecord
    namespace: str
    pod_uid: str
    received_unix_ns: int
    cursor: str
