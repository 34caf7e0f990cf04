"""Every recorded stream out of the cache, as the official SDKs read it; and what never is."""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest

from remora.testing.double_answer import (
    Answer,
    Fault,
    FaultKind,
    RandomCuts,
    answer_of,
    json_answer,
)
from remora.testing.raw_agent import RawAnswer
from remora.testing.recorded_calls import (
    CORPUS_DIALECTS,
    RecordedAgent,
    provider_documents,
    tls_names,
)
from remora.testing.sdk_readers import READERS, SdkReader
from remora.testing.transcripts import Transcript

# The SDK's types lag behind what web searches answer; its parser copies a response with a warning.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),
]

_POLICY = """\
apiVersion: remora.dev/v1alpha1
kind: LLMPolicy
metadata: {name: cache}
spec: {cache: {mode: readwrite, sampling: true}}
---
"""
_STREAMED = [corpus for corpus in CORPUS_DIALECTS if corpus != "openai-embeddings"]
_KEY_FIELDS = {"anthropic-messages": "x-api-key", "gemini-generate": "x-goog-api-key"}
_END_MARKS = {
    "anthropic-messages": rb"message_stop",
    "cohere": rb"message-end|stream-end",
    "gemini-generate": rb"finishReason|blockReason",
    "openai-chat": rb"data: ?\[DONE\]",
    "openai-completions": rb"data: ?\[DONE\]",
    "openai-responses": rb"response\.(?:completed|incomplete|failed)",
}
"""Where the end of a stream begins, at the earliest; else it is in its last bytes."""
_ERROR = json_answer(b'{"error":{"message":"no"}}', status=500)
_WHOLE = json_answer(b'{"id":"whole"}')


@dataclass
class _Asker:
    """Asks recorded calls of a sidecar whose cache is on."""

    carrying: Any
    agent: RecordedAgent
    _tries: count = field(default_factory=count)

    async def ask(self, call: Transcript, answer: Answer, owner: str) -> tuple[RawAnswer, bool]:
        """Ask in somebody's name; also tell whether the provider was asked."""
        double = self.carrying.double
        double.route(call.method, call.path, answer)
        before = len(double.requests)
        given = await self.agent.ask(call, [self._credential(call, owner)])
        await self._settled()
        return given, len(double.requests) > before

    async def leave(self, call: Transcript, answer: Answer, read: int, owner: str) -> None:
        """Ask, read a part of the answer and vanish."""
        self.carrying.double.route(call.method, call.path, answer)
        await self.agent.leave_after(call, read, [self._credential(call, owner)])
        await self._settled()

    async def _settled(self) -> None:
        await self.carrying.until(lambda: self.carrying.sidecar.parts.tasks.idle)

    def _credential(self, call: Transcript, owner: str) -> tuple[str, str]:
        if not call.dialect.startswith("bedrock"):
            name = _KEY_FIELDS.get(call.dialect, "")
            return (name, owner) if name else ("Authorization", f"Bearer {owner}")
        signed = f"Credential={owner}/20261121/us-east-1/bedrock/aws4_request, SignedHeaders=host"
        # Signatures differ each time.
        signature = f"{next(self._tries):064x}"
        return "Authorization", f"AWS4-HMAC-SHA256 {signed}, Signature={signature}"


Caching = Callable[[str, Sequence[Transcript]], AbstractAsyncContextManager[_Asker]]


@pytest.fixture
def caching(carry, tmp_path) -> Caching:
    """Give what starts a sidecar for a corpus, with its cache on."""

    @asynccontextmanager
    async def start(corpus: str, transcripts: Sequence[Transcript]) -> AsyncIterator[_Asker]:
        policy = tmp_path / "policy.yaml"
        providers = provider_documents(transcripts, CORPUS_DIALECTS[corpus])
        policy.write_text(_POLICY + providers)
        double = {"names": tls_names(transcripts)}
        async with (
            carry(double=double, policy=policy) as carrying,
            RecordedAgent(carrying.sidecar.proxy, carrying.ca_pem) as agent,
        ):
            yield _Asker(carrying, agent)

    return start


def _streams(recorded, corpus: str) -> list[Transcript]:
    return [transcript for transcript in recorded(corpus) if transcript.stream]


def _is_whole(call: Transcript) -> bool:
    return call.expect["complete"] is True and not call.expect["error"]


def _verdict(answer: RawAnswer) -> str:
    return (answer.header("remora-cache") or "").partition("; age")[0]


def _given(call: Transcript, seed: int) -> Answer:
    return answer_of(call, cuts=RandomCuts(seed, mean_bytes=1000))


async def _read(reader: SdkReader, answer: RawAnswer) -> Any:
    kept = [(name, value) for name, value in answer.headers if not _is_ours(name)]
    return await reader(Answer(answer.status, tuple(kept), answer.body))


def _is_ours(name: str) -> bool:
    return name.lower() in {"transfer-encoding", "content-length"} or name.startswith("remora-")


@pytest.mark.parametrize("corpus", _STREAMED)
async def test_a_hit_is_to_the_official_sdk_what_the_live_call_was(caching, recorded, corpus):
    calls = _streams(recorded, corpus)
    hits = []
    async with caching(corpus, calls) as asker, READERS[corpus]() as reader:
        for number, call in enumerate(calls):
            owner = f"sk-{number}"
            live, _ = await asker.ask(call, _given(call, number), owner)
            again, asked = await asker.ask(call, _ERROR, owner)
            assert live.body == call.response_body, call.id
            if asked:
                assert not _is_whole(call) or _verdict(live).startswith("bypass"), call.id
                continue
            assert (_verdict(live), _verdict(again)) == ("miss", "hit")
            assert again.body == live.body, call.id
            assert again.header("content-type") == live.header("content-type")
            assert await _read(reader, again) == await _read(reader, live), call.id
            hits.append(live.header("remora-call-id"))
        records = await asker.carrying.records(2 * len(calls))
    assert hits
    for live, again in zip(records[::2], records[1::2], strict=True):
        assert again.cached is (live.call_id in hits)
        if again.cached:
            assert (again.usage, again.finish_reason) == (live.usage, live.finish_reason)
            assert (again.response_model, again.tool_names) == (
                live.response_model, live.tool_names,
            )  # fmt: skip


def _cut_at(call: Transcript) -> int:
    """Find where a stream can be cut so that it is not whole by its own format."""
    mark = re.search(_END_MARKS.get(call.dialect, rb"(?s).{2}\Z"), call.response_body)
    return mark.start() if mark else len(call.response_body) // 2


def _failures(call: Transcript) -> Mapping[str, Answer]:
    """Answers to a call that are no whole success."""
    whole, at = answer_of(call), _cut_at(call)
    return {
        "truncated": replace(whole, body=call.response_body[:at]),
        "truncated in the middle": replace(whole, body=call.response_body[: at // 2]),
        "empty": replace(whole, body=b""),
        "cut": replace(whole, fault=Fault(FaultKind.DROP, at)),
        "cut after the end": replace(whole, fault=Fault(FaultKind.RESET, len(call.response_body))),
        "created": replace(whole, status=201),
        "refused": replace(whole, status=429),
        "failed": replace(whole, status=500),
    }


@pytest.mark.parametrize("corpus", _STREAMED)
async def test_nothing_but_a_whole_success_is_ever_served(caching, recorded, corpus):
    calls = [call for call in _streams(recorded, corpus) if _is_whole(call)]
    async with caching(corpus, calls) as asker:
        for number, call in enumerate(calls):
            owner, at = f"sk-{number}", _cut_at(call)
            for kind, failure in _failures(call).items():
                _, asked = await asker.ask(call, failure, owner)
                assert asked, f"{call.id}: answered before {kind}"
            stalled = replace(answer_of(call), fault=Fault(FaultKind.STALL, at))
            await asker.leave(call, stalled, at // 2, owner)
            live, asked = await asker.ask(call, answer_of(call), owner)
            assert (asked, live.body) == (True, call.response_body), call.id


@pytest.mark.parametrize("corpus", CORPUS_DIALECTS)
async def test_no_recorded_failure_is_ever_served(caching, recorded, corpus):
    calls = [call for call in recorded(corpus) if call.status != 200 or call.expect["error"]]
    async with caching(corpus, calls) as asker:
        for number, call in enumerate(calls):
            for _ in range(2):
                _, asked = await asker.ask(call, answer_of(call), f"sk-{number}")
                assert asked, call.id


_WHOLE_PATHS = {
    ":streamGenerateContent": ":generateContent",
    "/converse-stream": "/converse",
    "/invoke-with-response-stream": "/invoke",
}


def _asked_whole(call: Transcript) -> Transcript:
    """Ask the same, but not for a stream."""
    body = call.request_body
    if call.dialect not in ("gemini-generate", "bedrock-converse", "bedrock-invoke"):
        asked = {**json.loads(body), "stream": False}
        asked.pop("stream_options", None)
        return replace(call, request_body=json.dumps(asked).encode())
    (path,) = (
        call.path.removesuffix(streamed) + whole
        for streamed, whole in _WHOLE_PATHS.items()
        if call.path.endswith(streamed)
    )
    return replace(call, path=path, query="")


@pytest.mark.parametrize("corpus", [corpus for corpus in _STREAMED if corpus != "other"])
async def test_no_answer_goes_to_another_credential_or_mode(caching, recorded, corpus):
    calls = [call for call in _streams(recorded, corpus) if _is_whole(call)]
    async with caching(corpus, calls) as asker:
        for number, call in enumerate(calls):
            owner, whole = f"sk-{number}", _asked_whole(call)
            live, _ = await asker.ask(call, answer_of(call), owner)
            others, asked = await asker.ask(call, _ERROR, f"{owner}-b")
            assert (asked, others.status) == (True, 500), call.id
            other, asked = await asker.ask(whole, _WHOLE, owner)
            assert (asked, other.body) == (True, _WHOLE.body), call.id
            again, asked = await asker.ask(call, _ERROR, owner)
            if _verdict(live) == "miss":
                assert (asked, again.body) == (False, call.response_body), call.id
