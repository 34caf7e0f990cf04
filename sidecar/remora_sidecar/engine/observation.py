"""What is seen of one call while it is carried, and the record it becomes.

Filled by the carrier as things happen; knows no socket and no loop. The carrier decides
when the record is due: before the answer's last byte leaves.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from decimal import Decimal

from remora.clock import Clock
from remora.errors import UpstreamError
from remora.frozen import by_name
from remora.providers import Provider
from remora.receipt import Receipt
from remora.records import (
    PARSE_FAILED_MODEL,
    Attempt,
    Attribution,
    Body,
    CacheVerdict,
    CallError,
    CallRecord,
    Cost,
    EndReason,
    Origin,
    Usage,
)
from remora_sidecar.dialects.base import AnswerFacts, AnswerReader, CallRequest, Completeness
from remora_sidecar.dialects.request_text import estimated_input_tokens
from remora_sidecar.engine.chunk_times import ChunkTimes
from remora_sidecar.engine.keeping import fit_to_keep
from remora_sidecar.engine.pricing import PriceBook
from remora_sidecar.engine.redaction_ahead import WORTH_A_THREAD_BYTES, RedactionAhead
from remora_sidecar.model.exchange import Headers, header
from remora_sidecar.policy.failures import Failure, failure_of_kind
from remora_sidecar.policy.redaction import Redactor

_REQUEST_ID_HEADERS = (b"x-request-id", b"request-id", b"x-amzn-requestid")
_REQUEST_IDS = frozenset(_REQUEST_ID_HEADERS)
_ERROR_TEXT_LIMIT = 2000

FREE = Cost(Decimal(0), Decimal(0), Decimal(0), price_source="cache", price_date="")
"""What a call costs whose answer another call has paid for."""


_record = by_name(CallRecord)

_UNREAD = CallRequest(operation="")
"""Of a request that was not read, or not yet."""


@dataclass(slots=True)
class BodyCapture:
    """Keeps the first bytes of a body, up to a limit; a limit of 0 keeps nothing."""

    limit: int
    total: int = 0
    _kept: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body as they are on the wire."""
        self.total += len(data)
        if self.limit and (room := self.limit - len(self._kept)) > 0:
            self._kept += data[:room]

    def body(self, content_type: str) -> Body | None:
        """Give what was kept; None if capture is off or nothing came."""
        if self.limit == 0 or self.total == 0:
            return None
        return Body(
            content=bytes(self._kept),
            original_bytes=self.total,
            truncated=self.total > len(self._kept),
            content_type=content_type,
        )


@dataclass(slots=True)
class Waiting:
    """Adds up the time in which Remora waited for somebody else."""

    clock: Clock
    total_s: float = 0.0
    _since: float = 0.0

    def start(self) -> None:
        """Begin to wait."""
        self._since = self.clock.monotonic_s()

    def stop(self) -> None:
        """Add what was waited."""
        self.total_s += self.clock.monotonic_s() - self._since

    def __enter__(self) -> None:
        """Begin to wait."""
        self.start()

    def __exit__(self, *_: object) -> None:
        """Add what was waited."""
        self.stop()


@dataclass(slots=True)
class Observation:
    """One call as seen so far."""

    call_id: str
    clock: Clock
    started_unix_ns: int
    started_s: float
    origin: Origin
    attribution: Attribution
    provider: str
    price_id: str | None
    dialect: str
    method: str
    url: str
    request_capture: BodyCapture
    response_capture: BodyCapture
    capture: str
    waiting: Waiting
    request: CallRequest = _UNREAD
    request_content_type: str = ""
    request_content_encoding: str = ""
    redactor: Redactor | None = None
    redaction_ahead: RedactionAhead | None = None
    request_body: bytes = b""
    cache: CacheVerdict | None = None
    opaque: bool = False
    notes: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    status_code: int = 0
    answer_headers: Headers = ()
    reader: AnswerReader | None = None
    chunks: ChunkTimes = field(default_factory=ChunkTimes)
    first_output_s: float | None = None
    attempt_started_s: float = 0.0
    reused_connection: bool = False
    decoding_problem: str = ""
    asked_model: str | None = None
    parameters: str = ""
    receipt: Callable[[Usage | None], Receipt] | None = None
    failure: str = ""

    @property
    def overhead_s(self) -> float:
        """Time spent in Remora so far rather than waiting for somebody else."""
        return max(0.0, self.clock.monotonic_s() - self.started_s - self.waiting.total_s)

    def note(self, text: str) -> None:
        """Keep a remark that no field of the record can carry."""
        self.notes.append(text)

    def redact_ahead(self, worker: Executor) -> None:
        """Have the request's body redacted in a thread, if that is worth it."""
        if self.redactor is None:
            return
        body = self.request_capture.body(self.request_content_type)
        if body is not None and len(body.content) >= WORTH_A_THREAD_BYTES:
            encoding = self.request_content_encoding
            self.redaction_ahead = RedactionAhead(worker, self.redactor, body, encoding)

    def output_seen(self) -> None:
        """Note the time of the first real output; later calls change nothing."""
        if self.first_output_s is None:
            self.first_output_s = self.clock.monotonic_s() - self.started_s

    def goes_to(self, provider: Provider, request: CallRequest, parameters: str = "") -> None:
        """Note whom the next try asks, for what, and what policy set in it, as a JSON object."""
        if self.asked_model is None:
            self.asked_model = self.request.model
        self.provider = provider.name
        self.price_id = provider.price_id
        self.request = request
        self.parameters = parameters

    def attempt_ended(
        self,
        status: int,
        error: CallError | None = None,
        usage: Usage | None = None,
        cost: Cost | None = None,
    ) -> None:
        """Note how the try that began at ``attempt_started_s`` ended, and ``failure`` with it."""
        self.attempts.append(
            Attempt(
                provider=self.provider,
                model=self.request.model,
                status_code=status,
                duration_s=self.clock.monotonic_s() - self.attempt_started_s,
                error=error,
                reused_connection=self.reused_connection,
                failure=self.failure,
                usage=usage,
                cost=cost,
                parameters=self.parameters,
            )
        )

    def attempt_failed(
        self,
        status: int,
        failure: Failure,
        error: CallError | None,
        usage: Usage | None,
        cost: Cost | None,
    ) -> None:
        """Note a try that was answered, though not as the agent should be."""
        self.failure = failure.value
        error = error or CallError("http_error", f"HTTP {status}")
        self.attempt_ended(status, error, usage, cost)
        self.failure = ""

    def no_answer(self, error: UpstreamError) -> None:
        """Note a try that was not answered."""
        self.failure = failure_of_kind(error.kind).value
        self.attempt_ended(0, CallError(error.kind, str(error)))
        self.failure = ""

    def refused(self, code: str) -> None:
        """Note on the receipt, if there is to be one, that Remora refused the call."""
        if (receipt := self.receipt) is not None:
            self.receipt = lambda used: receipt(used)._replace(refused_by=code)

    def facts(self) -> AnswerFacts:
        """Ask the reader, once, what the answer stated."""
        facts = self.reader.finish() if self.reader is not None else AnswerFacts()
        if not self.decoding_problem:
            return facts
        self.note(f"the answer could not be decoded for reading: {self.decoding_problem}")
        return replace(facts, completeness=Completeness.UNKNOWN)

    def record(
        self,
        prices: PriceBook,
        facts: AnswerFacts,
        end_reason: EndReason,
        error: CallError | None = None,
        *,
        cached: bool = False,
    ) -> CallRecord:
        """Make the record of the call as it ended; a cached one cost nothing."""
        latency_s = self.clock.monotonic_s() - self.started_s
        end_reason = _settled(end_reason, facts)
        error = error or self._error(facts, end_reason)
        model = facts.model or self.request.model
        if facts.usage is None and facts.usage_problem and not self.request.model:
            model = model or PARSE_FAILED_MODEL
        usage = self._usage(facts, end_reason)
        record = _record(
            call_id=self.call_id,
            started_unix_ns=self.started_unix_ns,
            provider=self.provider,
            dialect=self.dialect,
            operation=self.request.operation,
            method=self.method,
            url=self.url,
            attribution=self.attribution,
            origin=self.origin,
            requested_model=(self.request.model if self.asked_model is None else self.asked_model),
            sent_model=self.request.model,
            response_model=facts.model or (model if model == PARSE_FAILED_MODEL else ""),
            stream=self.request.stream,
            status_code=self.status_code,
            end_reason=end_reason,
            finish_reason=facts.finish_reason,
            error=error,
            response_id=facts.response_id,
            provider_request_id=_request_id(self.answer_headers),
            tool_names=facts.tool_names,
            usage=usage,
            cost=FREE if cached else self.cost(prices, usage, model, facts.service_tier),
            latency_s=latency_s,
            ttft_s=self.first_output_s,
            overhead_s=max(0.0, latency_s - self.waiting.total_s),
            request_bytes=self.request_capture.total,
            response_bytes=self.response_capture.total,
            cached=cached,
            cache=self.cache,
            opaque=self.opaque,
            attempts=tuple(self.attempts),
            receipt=self.receipt(usage) if self.receipt is not None else None,
            notes=tuple(self.notes),
            capture=self.capture,
            request_body=self.request_capture.body(self.request_content_type),
            response_body=self._answer_body(),
        )
        return self._fit_to_keep(record)

    def _answer_body(self) -> Body | None:
        if not self.response_capture.limit:
            return None
        return self.response_capture.body(header(self.answer_headers, b"content-type") or "")

    def _fit_to_keep(self, record: CallRecord) -> CallRecord:
        answer_encoding = ""
        if self.redactor is not None:
            answer_encoding = header(self.answer_headers, b"content-encoding") or ""
        return fit_to_keep(
            record,
            self.redactor,
            self.request_content_encoding,
            answer_encoding,
            self.redaction_ahead,
        )

    def _usage(self, facts: AnswerFacts, end_reason: EndReason) -> Usage | None:
        """Take what was stated; an estimate of what was seen where it was not, or not all."""
        stated = facts.usage
        seen = facts.output_tokens_estimate
        if not seen or facts.error is not None or self.status_code >= 400:
            return stated
        if end_reason is EndReason.COMPLETED:
            if stated is not None or self.request.states_usage:
                return stated  # whole as it is, or an error that an estimate would hide
        elif stated is not None and (stated.output_tokens or 0) >= seen:
            return stated
        stated = stated or Usage(input_tokens=estimated_input_tokens(self.request_body) or None)
        return replace(stated, output_tokens=seen, estimated=True)

    def cost(
        self, prices: PriceBook, usage: Usage | None, model: str, service_tier: str
    ) -> Cost | None:
        """Price the call; None if there is nothing to price or no price."""
        if usage is None or not model:
            return None
        model = self.request.priced_model or model
        return prices.cost(
            self.price_id, model, usage, self.started_unix_ns, service_tier=service_tier
        )

    def _error(self, facts: AnswerFacts, end_reason: EndReason) -> CallError | None:
        if facts.error is not None:
            return facts.error
        if self.status_code >= 400:
            return CallError("http_error", f"HTTP {self.status_code}")
        if end_reason is not EndReason.COMPLETED:
            return None
        if (
            facts.usage is None
            and facts.usage_problem
            and self.request.states_usage
            and self.status_code
        ):
            text = f"token usage could not be read: {facts.usage_problem}"
            return CallError("usage_unreadable", text[:_ERROR_TEXT_LIMIT])
        return None


def _settled(end_reason: EndReason, facts: AnswerFacts) -> EndReason:
    """An answer whose own format says that it was cut was cut, however the connection ended."""
    if end_reason is EndReason.COMPLETED and facts.completeness is Completeness.CUT:
        return EndReason.PROVIDER_CUT
    if end_reason is EndReason.CLIENT_GONE and facts.completeness is Completeness.WHOLE:
        return EndReason.COMPLETED
    return end_reason


def _request_id(headers: Headers) -> str:
    stated = {lower: value for name, value in headers if (lower := name.lower()) in _REQUEST_IDS}
    for name in _REQUEST_ID_HEADERS if stated else ():
        if value := stated.get(name):
            return value.decode("latin-1")
    return ""
