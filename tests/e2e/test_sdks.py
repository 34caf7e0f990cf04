"""Official SDKs as agents that know nothing of Remora, in a pod whose traffic is redirected.

Each runs as a process of its own and asks what was recorded once; the provider double answers,
under the provider's real name, with what was recorded. What the SDK made of it must be right,
and so must the record of the call.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import pytest_asyncio
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from remora.client.records import RecordClient
from remora.client.target import AggregatorTarget
from remora.records import CallRecord, EndReason
from remora.testing.double_answer import TalkingWebSocket, answer_of, encoded
from remora.testing.double_request import ReceivedRequest
from remora.testing.transcripts import Transcript

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

AGENTS = Path(__file__).parent / "agents"
KEYS = {
    "ANTHROPIC_API_KEY": "sk-agent",
    "GEMINI_API_KEY": "sk-agent",
    "AWS_ACCESS_KEY_ID": "AKIAAGENT",
    "AWS_SECRET_ACCESS_KEY": "aws-agent",
    "AWS_DEFAULT_REGION": "us-east-1",
}
PRODUCER = "opentelemetry-python-contrib:instrumentation"
OPENAI = f"{PRODUCER}-genai/opentelemetry-instrumentation-openai-v2/tests/cassettes"
BEDROCK = f"{PRODUCER}/opentelemetry-instrumentation-botocore/tests/cassettes"
PYDANTIC = "pydantic-ai:tests"
TEST = "This is a test."


@dataclass(frozen=True)
class Call:
    """One call of an agent.

    Attributes:
        function: Of the agent's script.
        dialect: The corpus file, and the record's dialect.
        recording: Which exchange of it is asked for and answered.
        text: What the SDK must make of the answer.
        operation: What the record must say.
        has_price: The model's price is known.
    """

    function: str
    dialect: str
    recording: str
    text: str
    operation: str = "chat"
    has_price: bool = True


CHAT = Call(
    "chat",
    "openai-chat",
    f"{OPENAI}/test_async_chat_completion_with_raw_response.yaml#0",
    TEST,
)
CHAT_STREAM = Call(
    "chat", "openai-chat", f"{OPENAI}/test_async_chat_completion_streaming.yaml#0", TEST
)
RESPONSE = Call(
    "responses",
    "openai-responses",
    f"{OPENAI}/test_responses_create_basic[content_mode0].yaml#0",
    TEST,
)
RESPONSE_STREAM = Call(
    "responses",
    "openai-responses",
    f"{OPENAI}/test_responses_create_streaming[content_mode0].yaml#0",
    TEST,
)
CALLS = {
    "openai": (
        CHAT,
        CHAT_STREAM,
        RESPONSE,
        RESPONSE_STREAM,
        Call(
            "embeddings",
            "openai-embeddings",
            f"{PYDANTIC}/cassettes/test_embeddings/TestOpenAI.test_instrumentation.yaml#0",
            "128 numbers",
            operation="embeddings",
        ),
    ),
    "anthropic": (
        Call(
            "messages",
            "anthropic-messages",
            f"{PYDANTIC}/cassettes/test_ag_ui/test_thinking_roundtrip_anthropic.yaml#0",
            "Two",
        ),
        Call(
            "messages",
            "anthropic-messages",
            f"{PYDANTIC}/models/cassettes/test_anthropic/"
            "test_request_stream_fallback_for_high_max_tokens.yaml#0",
            "2",
        ),
    ),
    "google": (
        Call(
            "generate_content",
            "gemini-generate",
            f"{PYDANTIC}/cassettes/test_settings/test_stop_settings[google].yaml#0",
            "The most iconic city in France is ",
            operation="generate_content",
        ),
        Call(
            "generate_content_stream",
            "gemini-generate",
            f"{PYDANTIC}/models/cassettes/test_google/"
            "test_google_stream_usage_is_live_mid_stream.yaml#0",
            "\n".join(map(str, range(1, 31))),
            operation="generate_content",
        ),
    ),
    "boto3": (
        Call(
            "converse",
            "bedrock-converse",
            f"{PYDANTIC}/cassettes/test_settings/test_stop_settings[bedrock].yaml#0",
            "The city of Paris",
        ),
        Call(
            "converse_stream",
            "bedrock-converse",
            f"{BEDROCK}/test_converse_stream_no_content_different_events.yaml#0",
            "This is a test",
            has_price=False,  # Claude 2 is in no price list any more
        ),
        Call(
            "converse_stream",
            "bedrock-converse",
            f"{PYDANTIC}/models/cassettes/test_bedrock/"
            "test_bedrock_model_stream_with_extra_headers.yaml#0",
            "Hello! How can I assist you today? Whether you have a question, need information, "
            "or just want to chat, I'm here to help.",
        ),
        Call(
            "invoke_model",
            "bedrock-invoke",
            f"{BEDROCK}/test_invoke_model_no_content[amazon.nova].yaml#0",
            "It seems like you\u2019re running a test or",
        ),
        Call(
            "invoke_model_with_response_stream",
            "bedrock-invoke",
            f"{BEDROCK}/test_invoke_model_with_response_stream_no_content[amazon.nova].yaml#0",
            "Sure! It sounds like you want to communicate a",
        ),
    ),
    "langchain": (
        Call("invoke", "openai-chat", CHAT.recording, TEST),
        Call("stream", "openai-chat", CHAT_STREAM.recording, TEST),
    ),
    "node": (CHAT, CHAT_STREAM, RESPONSE, RESPONSE_STREAM),
}
"""What each agent asks for."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pod(stage_pod):
    """One pod for all agents."""
    async with stage_pod() as stage:
        yield stage


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory, request) -> Path:
    """Install what the Node agent needs, once for all sessions; skip where that can't be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node or npm is not installed (Debian packages nodejs and npm)")
    package = (AGENTS / "package.json").read_bytes()
    cache = request.config.cache
    folder = cache.mkdir("node") if cache is not None else tmp_path_factory.mktemp("node")
    if not (folder / "installed").exists() or (folder / "installed").read_bytes() != package:
        (folder / "package.json").write_bytes(package)
        install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
        try:
            subprocess.run(install, cwd=folder, capture_output=True, check=True, timeout=60)
        except subprocess.SubprocessError as error:
            pytest.skip(f"npm could not install the openai package: {error}")
        (folder / "installed").write_bytes(package)
    return folder / "node_modules"


def _program(agent: str) -> list[str]:
    if agent == "node":
        return ["node", str(AGENTS / "openai_agent.cjs")]
    return [sys.executable, "-P", str(AGENTS / f"{agent}_agent.py")]


def _arguments(call: Call, recorded: Transcript) -> dict[str, Any]:
    """What was asked for once, as the SDK wants to be told."""
    asked: dict[str, Any] = json.loads(recorded.request_body)
    named = re.search("/models?/([^/:]+)", recorded.path)
    model = unquote(named[1]) if named else ""
    match call.dialect:
        case "gemini-generate":
            config = asked["generationConfig"]
            return {"model": model, "contents": asked["contents"], "config": config}
        case "bedrock-converse":
            return {"modelId": model, **asked}
        case "bedrock-invoke":
            return {"modelId": model, "body": recorded.request_body.decode()}
        case _:
            return asked


def _answering(recorded: Transcript):
    """The recorded answer, compressed as providers do for those who take it."""

    def answer(request: ReceivedRequest):
        plain = answer_of(recorded)
        accepted = request.head.header("accept-encoding") or ""
        return encoded(plain, "gzip") if "gzip" in accepted else plain

    return answer


async def _run(pod, agent: str, asked: Any, **variables: str) -> tuple[Any, list[CallRecord]]:
    """Run an agent; give what it made of its calls, and their records."""
    with RecordClient(AggregatorTarget(pod.aggregator)) as client:
        watch = await asyncio.to_thread(client.watch)
        done = await pod.agent(_program(agent), stdin=json.dumps(asked), **KEYS, **variables)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        stored = await asyncio.to_thread(lambda: list(islice(watch, len(told))))
    records = sorted((one.record for one in stored), key=lambda record: record.started_unix_ns)
    return told, records


async def _check(pod, agent: str, calls: Sequence[Call], recordings, **variables: str) -> None:
    transcripts = [_find(recordings, call) for call in calls]
    before = len(pod.double.requests)
    pod.double.script(*map(_answering, transcripts))
    asked = [
        (call.function, _arguments(call, recorded))
        for call, recorded in zip(calls, transcripts, strict=True)
    ]
    told, records = await _run(pod, agent, asked, **variables)
    received = pod.double.requests[before:]
    assert pod.double.scripts_left == 0
    for call, recorded, said, record, request in zip(
        calls, transcripts, told, records, received, strict=True
    ):
        text, usage = said
        assert text == call.text
        assert usage == [recorded.expect["input_tokens"], recorded.expect["output_tokens"] or 0]
        _check_request(recorded, record, request)
        _check_record(call, recorded, record)


def _find(recordings, call: Call) -> Transcript:
    (found,) = (one for one in recordings(call.dialect) if one.id == call.recording)
    return found


def _check_request(recorded: Transcript, record: CallRecord, request: ReceivedRequest) -> None:
    assert request.head.host == recorded.host == request.sni
    assert _unversioned(request.head.path) == _unversioned(recorded.path)
    sent, asked = json.loads(request.body), json.loads(recorded.request_body)
    # SDKs leave out what is false.
    assert {name: sent.get(name, False) for name in asked} == asked
    assert not any(name.lower().startswith(b"remora") for name, _ in request.head.headers)
    if record.provider == "aws-bedrock":
        _check_signature(request)
    else:
        assert any(value.endswith(b"sk-agent") for _, value in request.head.headers)


def _unversioned(path: str) -> str:
    """A path without the version of the API, which SDKs of Google's differ in."""
    return re.sub("^/v1(beta)?/", "/", path)


def _check_signature(request: ReceivedRequest) -> None:
    """Sign what arrived as AWS would, and compare."""
    authorization = request.head.header("authorization") or ""
    signed = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    url = f"https://{request.head.host}{request.head.target}"
    headers = {name: request.head.header(name) for name in signed}
    arrived = AWSRequest(request.head.method, url, headers, request.body)
    arrived.context["timestamp"] = request.head.header("x-amz-date")
    credentials = Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"])
    signer = SigV4Auth(credentials, "bedrock", KEYS["AWS_DEFAULT_REGION"])
    text = signer.string_to_sign(arrived, signer.canonical_request(arrived))
    assert authorization.endswith(f"Signature={signer.signature(text, arrived)}")


def _check_record(call: Call, recorded: Transcript, record: CallRecord) -> None:
    expect = recorded.expect
    assert record.end_reason is EndReason.COMPLETED
    assert (record.dialect, record.operation) == (call.dialect, call.operation)
    assert (record.stream, record.status_code) == (recorded.stream, 200)
    assert record.response_model == (expect["model"] or "")
    assert record.requested_model
    assert record.finish_reason == (expect["finish_reason"] or "")
    assert record.error is None
    assert record.usage is not None
    for figure in ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens"):
        if expect[figure] is not None:
            assert getattr(record.usage, figure) == expect[figure]
    assert (record.cost is not None and record.cost.total_usd > 0) is call.has_price
    assert record.origin.mode == "transparent"
    assert record.url.startswith(f"https://{recorded.host}/")


@pytest.mark.parametrize("agent", [name for name in CALLS if name != "node"])
async def test_an_official_sdk_is_understood_and_sees_what_the_provider_said(
    pod, recorded: Callable[[str], Sequence[Transcript]], agent: str
):
    await _check(pod, agent, CALLS[agent], recorded)


async def test_the_official_sdk_for_node_is_too(pod, recorded, node_modules: Path):
    await _check(pod, "node", CALLS["node"], recorded, NODE_PATH=str(node_modules))


SPOKEN = [
    {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
    {"type": "response.output_text.delta", "delta": "Hello ", "response_id": "resp_1"},
    {"type": "response.output_text.delta", "delta": "you", "response_id": "resp_1"},
    {
        "type": "response.done",
        "response": {
            "id": "resp_1",
            "object": "realtime.response",
            "status": "completed",
            "output": [],
            "usage": {"total_tokens": 16, "input_tokens": 12, "output_tokens": 4},
        },
    },
]


async def test_the_official_sdk_holds_a_realtime_conversation(pod):
    script = TalkingWebSocket(
        lambda _: [json.dumps({"event_id": "e", **event}) for event in SPOKEN],
        greeting=json.dumps({"type": "session.created", "event_id": "e", "session": {}}),
    )
    pod.double.script(script)
    told, (record,) = await _run(pod, "openai", [("realtime", {"model": "gpt-realtime"})])
    assert told == [["Hello you", [12, 4]]]
    assert (record.dialect, record.requested_model) == ("openai-realtime", "gpt-realtime")
    assert record.end_reason is EndReason.COMPLETED
    assert (record.usage.input_tokens, record.usage.output_tokens) == (12, 4)
    assert record.cost.total_usd > 0
    assert record.response_id == "resp_1"
