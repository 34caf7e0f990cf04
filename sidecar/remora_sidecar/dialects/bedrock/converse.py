"""`bedrock-converse`: Bedrock's one API for the messages of all vendors, as JSON and as a stream.

Answers name no model, unless a prompt router chose one. Beside messages it claims what belongs to
the API: token counts and the checks of guardrails. What ``count-tokens`` answers is a figure that
the agent asked for, not one that anybody is charged for.
Format: docs.aws.amazon.com/bedrock/latest/APIReference, "Amazon Bedrock Runtime".
"""

import re
from typing import Any, Final

from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness, samples
from remora_sidecar.dialects.bedrock.body import BedrockBody
from remora_sidecar.dialects.bedrock.call import model_call, priced_model
from remora_sidecar.dialects.bedrock.converse_message import ConverseReading
from remora_sidecar.dialects.error_shapes import aws_error
from remora_sidecar.dialects.framing.json_values import member
from remora_sidecar.dialects.framing.request_fields import read_asked
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME: Final = "bedrock-converse"

_CHAT: Final = "chat"
_GUARDRAIL: Final = "guardrail"
_STREAM: Final = "converse-stream"
_OPERATIONS: Final = {"converse": _CHAT, _STREAM: _CHAT, "count-tokens": "count_tokens"}
_GUARDRAIL_PATH = re.compile(r"/guardrail/[^/]+/version/[^/]+/apply$|/guardrail-checks/invoke$")


class BedrockConverse:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim messages, token counts and checks of guardrails."""
        call = model_call(head)
        if call is not None and call.action in _OPERATIONS:
            return True
        return head.method == "POST" and _GUARDRAIL_PATH.search(head.path) is not None

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read operation, model and stream mode from the path; the body has no say in them."""
        call = model_call(head)
        operation = _OPERATIONS.get(call.action, _GUARDRAIL) if call is not None else _GUARDRAIL
        if call is None or operation == _GUARDRAIL:
            return CallRequest(_GUARDRAIL, states_usage=False, samples=False)
        asked, problem = read_asked(head, body)
        return CallRequest(
            operation,
            model=call.model,
            stream=call.action == _STREAM,
            states_usage=operation == _CHAT,
            problem=problem,
            samples=operation == _CHAT and _samples(asked),
            priced_model=priced_model(call.model),
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> "ConverseReader":
        """Make the reader of the answer."""
        return ConverseReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return aws_error(refusal, call_id)


def _samples(asked: Any) -> bool:
    return samples(member(asked, "inferenceConfig").get("temperature"))


class ConverseReader:
    """Watches one answer: a message as JSON, or its events as an AWS event stream."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._failed = head.status >= 400
        self._request = request
        self._message = ConverseReading()
        self._body = BedrockBody(head, stream=request.stream)

    @property
    def ended(self) -> bool:
        """Whether `metadata`, the last event, was seen, and no byte is amiss or left over."""
        return self._message.ended and self._body.is_whole

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; true once the model said something."""
        self._body.feed(data, self._message.take, self._message.take_event)
        return self._body.has_said(self._message.has_output)

    def finish(self) -> AnswerFacts:
        """Say what was stated."""
        completeness = self._body.finish(self._message.take)
        message = self._message
        if self.ended:
            completeness = Completeness.WHOLE
        usage = message.figures.usage()
        return AnswerFacts(
            model=message.model,
            finish_reason=message.finish_reason,
            tool_names=message.tool_names,
            error=self._body.error,
            usage=usage,
            usage_problem="" if usage else self._usage_problem(completeness),
            completeness=completeness,
            service_tier=message.service_tier,
            output_tokens_estimate=0 if usage else message.output_tokens_estimate,
        )

    def _usage_problem(self, completeness: Completeness) -> str:
        """Say why a successful answer would have no usage."""
        if self._failed or self._body.error is not None or not self._request.states_usage:
            return ""
        if self._body.problem:
            return self._body.problem
        if completeness is Completeness.CUT:
            return "answer was cut before it stated usage"
        return self._message.usage_searched
