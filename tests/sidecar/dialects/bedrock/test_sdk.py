"""The official SDK reads each recorded stream from a socket; what it comes to is the truth."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from remora.records import Usage
from remora.testing.aws_events import aws_event, aws_exception
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer, RandomCuts, answer_of, json_answer
from remora.testing.transcripts import Transcript
from remora_sidecar.dialects.base import AnswerFacts, Dialect
from remora_sidecar.dialects.bedrock.converse import BedrockConverse
from remora_sidecar.dialects.bedrock.invoke import BedrockInvoke
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.model.signature import is_signed

MESSAGES = [{"role": "user", "content": [{"text": "Hi"}]}]
EVENTS = (("content-type", "application/vnd.amazon.eventstream"),)
ARN = "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.amazon.nova-lite-v1:0"


@pytest.fixture
def client(double: ProviderDouble) -> Any:
    host, port = double.address
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def _read(dialect: Dialect, transcript: Transcript) -> AnswerFacts:
    head = RequestHead("POST", "h", transcript.path, "", [])
    fields = [(name.encode(), value.encode()) for name, value in transcript.response_headers]
    request = dialect.read_request(head, transcript.request_body)
    reader = dialect.answer_reader(AnswerHead(200, fields), request)
    reader.feed(transcript.response_body)
    return reader.finish()


def _converse_usage(usage: Mapping[str, Any]) -> Usage:
    read, written = usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens")
    return Usage(
        input_tokens=usage["inputTokens"] + (read or 0) + (written or 0),
        output_tokens=usage["outputTokens"],
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


def _converse(client: Any) -> list[dict[str, Any]]:
    return list(client.converse_stream(modelId="m", messages=MESSAGES)["stream"])


def _invoke(client: Any) -> list[dict[str, Any]]:
    answer = client.invoke_model_with_response_stream(modelId="m", body=b"{}")
    return [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]


def _streams(recorded: Callable[[str], Sequence[Transcript]], dialect: str) -> list[Transcript]:
    streams = [transcript for transcript in recorded(dialect) if transcript.stream]
    assert streams
    return streams


async def test_the_official_sdk_comes_to_the_same_message_of_each_converse_stream(
    double: ProviderDouble, client: Any, recorded: Callable[[str], Sequence[Transcript]]
) -> None:
    for transcript in _streams(recorded, "bedrock-converse"):
        double.script(answer_of(transcript, cuts=RandomCuts(seed=1)))
        events = await asyncio.to_thread(_converse, client)
        facts = _read(BedrockConverse(), transcript)
        assert "metadata" in events[-1], transcript.id
        assert facts.usage == _converse_usage(events[-1]["metadata"]["usage"]), transcript.id
        stops = [event["messageStop"]["stopReason"] for event in events if "messageStop" in event]
        assert [facts.finish_reason] == stops, transcript.id
        starts = [event["contentBlockStart"] for event in events if "contentBlockStart" in event]
        called = [s["start"]["toolUse"]["name"] for s in starts if "toolUse" in s["start"]]
        assert list(facts.tool_names) == called, transcript.id


async def test_the_official_sdk_comes_to_the_same_answer_of_each_converse_call(
    double: ProviderDouble, client: Any, recorded: Callable[[str], Sequence[Transcript]]
) -> None:
    answers = [t for t in recorded("bedrock-converse") if not t.stream and t.status == 200]
    for transcript in answers:
        double.script(answer_of(transcript, cuts=RandomCuts(seed=1)))
        answer = await asyncio.to_thread(client.converse, modelId="m", messages=MESSAGES)
        facts = _read(BedrockConverse(), transcript)
        usage = _converse_usage(answer["usage"])
        assert facts.usage is not None
        assert (facts.usage.input_tokens, facts.usage.output_tokens) == (
            usage.input_tokens,
            usage.output_tokens,
        ), transcript.id
        assert facts.usage.cache_read_tokens == usage.cache_read_tokens
        assert facts.finish_reason == answer["stopReason"]
        content = answer["output"]["message"]["content"]
        called = [block["toolUse"]["name"] for block in content if "toolUse" in block]
        assert list(facts.tool_names) == called, transcript.id


async def test_the_official_sdk_gets_the_same_counts_of_each_invoke_stream(
    double: ProviderDouble, client: Any, recorded: Callable[[str], Sequence[Transcript]]
) -> None:
    compared = 0
    for transcript in _streams(recorded, "bedrock-invoke"):
        double.script(answer_of(transcript, cuts=RandomCuts(seed=1)))
        chunks = await asyncio.to_thread(_invoke, client)
        metrics = chunks[-1].get("amazon-bedrock-invocationMetrics")
        facts = _read(BedrockInvoke(), transcript)
        assert facts.usage is not None, transcript.id
        stops = [_stop_reason(chunk) for chunk in chunks]
        assert facts.finish_reason in (*stops, "guardrail_intervened"), transcript.id
        if metrics is None:
            continue
        compared += 1
        cached = (facts.usage.cache_read_tokens or 0) + (facts.usage.cache_write_tokens or 0)
        assert facts.usage.input_tokens == metrics["inputTokenCount"] + cached, transcript.id
        if "tool_use" not in stops:  # where Bedrock's own count leaves tools out
            assert facts.usage.output_tokens == metrics["outputTokenCount"], transcript.id
    assert compared > 20


def _stop_reason(chunk: Mapping[str, Any]) -> Any:
    stop = chunk.get("messageStop") or chunk.get("delta") or {}
    return chunk.get("completionReason") or stop.get("stopReason") or stop.get("stop_reason")


_CALLS: dict[str, Callable[[Any], object]] = {
    "converse": lambda client: client.converse(modelId="m", messages=MESSAGES),
    "converse_stream": _converse,
    "invoke_model": lambda client: client.invoke_model(modelId="m", body=b"{}"),
    "invoke_model_with_response_stream": _invoke,
}


@pytest.mark.parametrize("call", _CALLS.values(), ids=_CALLS)
@pytest.mark.parametrize("dialect", [BedrockConverse(), BedrockInvoke()], ids=lambda d: d.name)
@pytest.mark.parametrize(
    ("status", "retry", "raised", "answered"),
    [
        (400, False, "ValidationException", 400),
        (401, False, "AccessDeniedException", 403),
        (402, False, "ServiceQuotaExceededException", 400),
        (403, False, "AccessDeniedException", 403),
        (404, False, "ResourceNotFoundException", 404),
        (413, False, "ValidationException", 413),
        (429, False, "ServiceQuotaExceededException", 400),
        (429, True, "ThrottlingException", 429),
        (502, True, "ServiceUnavailableException", 502),
        (503, False, "AccessDeniedException", 403),
        (504, True, "ServiceUnavailableException", 504),
    ],
)
async def test_the_official_sdk_raises_a_refusal_as_what_it_is(
    double: ProviderDouble,
    client: Any,
    dialect: Dialect,
    status: int,
    retry: bool,
    raised: str,
    answered: int,
    call: Callable[[Any], object],
) -> None:
    refused = dialect.refuse(Refusal(status, "t", "CODE", "why", retry), "c1")
    headers = tuple((name.decode(), value.decode()) for name, value in refused.headers)
    double.script(json_answer(refused.body, status=refused.status, headers=headers))
    with pytest.raises(getattr(client.exceptions, raised), match="remora: why") as caught:
        await asyncio.to_thread(call, client)
    assert isinstance(caught.value, ClientError)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == answered
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    assert json.loads(refused.body)["remora"]["code"] == "CODE"


async def test_a_refusal_of_a_budget_is_not_tried_again_by_the_official_sdk(
    double: ProviderDouble,
) -> None:
    host, port = double.address
    eager = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 5, "mode": "standard"}),
    )
    refused = BedrockConverse().refuse(Refusal(429, "t", "BUDGET_EXCEEDED", "why"), "")
    headers = tuple((name.decode(), value.decode()) for name, value in refused.headers)
    double.script(*[json_answer(refused.body, status=refused.status, headers=headers)] * 2)
    with pytest.raises(eager.exceptions.ServiceQuotaExceededException):
        await asyncio.to_thread(eager.converse, modelId="m", messages=MESSAGES)
    assert double.scripts_left == 1


async def test_an_exception_in_a_stream_is_raised_by_the_official_sdk_and_read(
    double: ProviderDouble, client: Any
) -> None:
    body = aws_event("messageStart", {"role": "assistant"})
    body += aws_exception("throttlingException", "Too many tokens")
    double.script(Answer(headers=EVENTS, body=body))
    with pytest.raises(EventStreamError, match="Too many tokens") as caught:
        await asyncio.to_thread(_converse, client)
    code = caught.value.response["Error"]["Code"]
    head = RequestHead("POST", "h", "/model/m/converse-stream", "", [])
    request = BedrockConverse().read_request(head, b"{}")
    reader = BedrockConverse().answer_reader(AnswerHead(200, []), request)
    reader.feed(body)
    error = reader.finish().error
    assert error is not None
    assert (error.type, error.message) == (code, "Too many tokens")


@pytest.mark.parametrize("model", ["us.amazon.nova-lite-v1:0", ARN])
async def test_what_the_official_sdk_sends_is_claimed_signed_and_names_its_model(
    double: ProviderDouble, client: Any, model: str
) -> None:
    double.script(json_answer(b"{}"), json_answer(b"{}"))
    await asyncio.to_thread(client.converse, modelId=model, messages=MESSAGES)
    await asyncio.to_thread(client.invoke_model, modelId=model, body=b'{"prompt":"Hi"}')
    dialects = (BedrockConverse(), BedrockInvoke())
    for dialect, received in zip(dialects, double.requests, strict=True):
        headers = received.head.headers
        head = RequestHead(received.head.method, "h", received.head.target, "", headers)
        assert dialect.claims(head)
        assert dialect.read_request(head, received.body).model == model
        assert is_signed(headers)
