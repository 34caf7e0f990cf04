"""`bedrock-invoke`: Bedrock's InvokeModel, whose bodies are each vendor's own.

Bedrock adds what it counted: in headers of an answer, in the last chunk of a stream. A stream's
events are chunks that hold one object of the vendor's. Beside models it claims asynchronous
invocations, whose answers lie elsewhere and which are recorded with what their calls say.
Format: docs.aws.amazon.com/bedrock/latest/APIReference, "InvokeModel", "ResponseStream".
"""

import binascii
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.bedrock.body import BedrockBody
from remora_sidecar.dialects.bedrock.call import ModelCall, model_call, priced_model
from remora_sidecar.dialects.bedrock.converse_message import billed_tier
from remora_sidecar.dialects.bedrock.requests import (
    EMBEDDINGS,
    IMAGES,
    is_sampled,
    operation_of,
    states_tokens,
)
from remora_sidecar.dialects.bedrock.usage import METRICS, NOTHING, read_headers, read_metrics
from remora_sidecar.dialects.bedrock.vendors import VendorReading, vendor_of
from remora_sidecar.dialects.error_shapes import aws_error
from remora_sidecar.dialects.framing.json_values import keys_found, parse_json, word
from remora_sidecar.dialects.framing.request_fields import read_asked
from remora_sidecar.model.exchange import AnswerHead, RequestHead, header
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME: Final = "bedrock-invoke"

_STREAM: Final = "invoke-with-response-stream"
_ACTIONS: Final = frozenset({"invoke", _STREAM})
_ASYNC: Final = "async_invoke"
_ASYNC_PATH = re.compile(r"/async-invoke(/[^/]*)?$")

_GUARDRAIL_ACTION: Final = "amazon-bedrock-guardrailAction"
_INTERVENED: Final = "INTERVENED"
_BLOCKED: Final = "guardrail_intervened"
"""What Converse says in such a case, and Titan itself does not."""

_SEARCHED: Final = (
    "searched the body, amazon-bedrock-invocationMetrics and the headers "
    "x-amzn-bedrock-input-token-count and x-amzn-bedrock-output-token-count"
)


def _call(head: RequestHead) -> ModelCall | None:
    call = model_call(head)
    return call if call is not None and call.action in _ACTIONS else None


class BedrockInvoke:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim invocations, asynchronous ones too."""
        if _call(head) is not None:
            return True
        return head.method in ("GET", "POST") and _ASYNC_PATH.search(head.path) is not None

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read model and stream mode from the path, the operation from model and body."""
        call = _call(head)
        asked, problem = read_asked(head, body)
        if call is None:
            problem = problem if head.method == "POST" else ""
            model = word(asked.get("modelId"))
            return CallRequest(_ASYNC, model, states_usage=False, problem=problem)
        operation = operation_of(call.model, asked)
        return CallRequest(
            operation,
            model=call.model,
            stream=call.action == _STREAM,
            states_usage=states_tokens(call.model, operation),
            problem=problem,
            samples=is_sampled(operation, asked),
            priced_model=priced_model(call.model),
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> "InvokeReader":
        """Make the reader of the answer."""
        return InvokeReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return aws_error(refusal, call_id)


class InvokeReader:
    """Watches one answer: a vendor's JSON, or its chunks in an AWS event stream."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._failed = head.status >= 400
        self._head = head
        self._request = request
        self._vendor: VendorReading | None = None
        self._metrics = NOTHING
        self._has_metrics = False
        self._is_blocked = False
        self._last: Mapping[str, Any] = {}
        self._body = BedrockBody(
            head,
            stream=request.stream,
            skim=request.operation in (EMBEDDINGS, IMAGES) and not self._failed,
        )

    @property
    def ended(self) -> bool:
        """Whether the end of a stream was seen, and no byte is amiss or left over.

        That is Bedrock's metrics, or the vendor's own last event, or a guardrail's answer in the
        place of the model's, behind which neither comes.
        """
        if not self._body.is_whole:
            return False
        vendor_ended = self._vendor is not None and self._vendor.ended
        return self._has_metrics or vendor_ended or self._is_blocked

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; true once the model said something."""
        self._body.feed(data, self._take, self._take_event)
        return self._body.has_said(self._vendor is not None and self._vendor.has_output)

    def finish(self) -> AnswerFacts:
        """Say what was stated."""
        completeness = self._body.finish(self._take)
        if self.ended:
            completeness = Completeness.WHOLE
        vendor, usage, error = self._vendor, self._usage(), self._error
        problem = "" if usage else self._usage_problem(completeness)
        facts = AnswerFacts(
            error=error, usage=usage, usage_problem=problem, completeness=completeness
        )
        if vendor is None:
            return facts
        is_known = usage is not None and not usage.estimated
        return replace(
            facts,
            model=vendor.model,
            finish_reason=vendor.finish_reason or (_BLOCKED if self._is_blocked else ""),
            response_id=vendor.response_id,
            tool_names=vendor.tool_names,
            service_tier=self._stated_tier() or vendor.service_tier,
            output_tokens_estimate=0 if is_known else vendor.output_tokens_estimate,
        )

    @property
    def _error(self) -> CallError | None:
        return self._body.error or (self._vendor.error if self._vendor is not None else None)

    def _take_event(self, name: str, event: Mapping[str, Any]) -> None:
        content = event.get("bytes")
        if type(content) is not str:
            return
        try:
            value = parse_json(binascii.a2b_base64(content))
        except (binascii.Error, ValueError):
            return
        if isinstance(value, dict):
            self._take(value)

    def _take(self, value: Mapping[str, Any]) -> None:
        self._last = value
        if isinstance(metrics := value.get(METRICS), dict):
            self._has_metrics = True
            self._metrics = read_metrics(metrics)
        if self._vendor is None:
            self._vendor = vendor_of(value)
        if self._vendor is not None:
            self._vendor.take(value)
            if value.get(_GUARDRAIL_ACTION) == _INTERVENED:
                self._is_blocked = self._vendor.is_final(value)

    def _usage(self) -> Usage | None:
        """Take the vendor's word; what it leaves out from Bedrock's metrics, then its headers."""
        vendor, stated = self._vendor, self._metrics.filled_from(read_headers(self._head.headers))
        if vendor is None:
            return None if self._failed else stated.usage()
        usage = vendor.usage
        if usage is not None and not usage.estimated and _is_complete(usage):
            return usage
        figures = vendor.figures
        if figures.is_complete and not stated.has_cached:
            return figures.usage()
        return figures.filled_from(stated).usage() or usage

    def _stated_tier(self) -> str:
        headers = self._head.headers
        tier = header(headers, b"x-amzn-bedrock-service-tier") or ""
        latency = header(headers, b"x-amzn-bedrock-performanceconfig-latency") or ""
        return word(billed_tier(tier.lower(), latency.lower()))

    def _usage_problem(self, completeness: Completeness) -> str:
        """Say why a successful answer would have no usage."""
        if self._failed or self._error is not None or not self._request.states_usage:
            return ""
        if self._body.problem:
            return self._body.problem
        if completeness is Completeness.CUT:
            return "answer was cut before it stated usage"
        return f"{_SEARCHED}; found {keys_found(self._last)}"


def _is_complete(usage: Usage) -> bool:
    return usage.input_tokens is not None and usage.output_tokens is not None
