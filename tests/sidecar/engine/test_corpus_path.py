"""Every recorded exchange of every dialect, through the whole sidecar over real TLS."""

from collections.abc import Sequence
from typing import Any

import pytest

from remora.providers import ProviderRegistry
from remora.records import CallRecord, EndReason
from remora.testing.double_answer import Answer, RandomCuts, answer_of
from remora.testing.raw_agent import RawAgent, RawAnswer
from remora.testing.transcripts import Transcript

_FIGURES = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip

_PROVIDER = """\
apiVersion: remora.dev/v1alpha1
kind: LLMProvider
metadata: {{name: {name}}}
spec: {{hosts: ["{host}"], ports: [{port}], tls: {tls}, dialects: [{dialects}]}}
---
"""

_NOTHING_IS_CHANGED = """\
apiVersion: remora.dev/v1alpha1
kind: LLMPolicy
metadata: {name: recorded}
spec: {includeUsage: never}
---
"""

_CORPUS = {
    "anthropic-messages": ("anthropic-messages",),
    "bedrock-converse": ("bedrock-converse",),
    "bedrock-invoke": ("bedrock-invoke",),
    "cohere": ("cohere-chat",),
    "gemini-generate": ("gemini-generate",),
    "openai-chat": ("openai-chat",),
    "openai-completions": ("openai-completions",),
    "openai-embeddings": ("openai-embeddings",),
    "openai-responses": ("openai-responses",),
    "other": ("openai-chat",),
}
"""The corpus' files, and what providers that are not built in speak."""


def _policy(transcripts: Sequence[Transcript], dialects: Sequence[str]) -> str:
    """Providers for the hosts in the recordings that nobody ships."""
    documents, seen = [_NOTHING_IS_CHANGED], set()
    for transcript in transcripts:
        tls, host, port = place = _place(transcript)
        if place in seen or _is_known(place):
            continue
        seen.add(place)
        documents.append(
            _PROVIDER.format(
                name=f"recorded-{len(seen)}",
                host=host,
                port=port,
                tls=str(tls).lower(),
                dialects=", ".join(dialects),
            )
        )
    return "".join(documents)


_BUILTIN = ProviderRegistry.builtin()


def _is_known(place: tuple[bool, str, int]) -> bool:
    tls, host, port = place
    return (_BUILTIN.match_tls(host) if tls else _BUILTIN.match_plain(host, port)) is not None


def _place(transcript: Transcript) -> tuple[bool, str, int]:
    """Where to send a request; a local server of no known kind gets a name of its own."""
    tls = transcript.url.startswith("https:")
    host, _, port = transcript.host.partition(":")
    place = (tls, host, int(port or (443 if tls else 80)))
    return place if tls or _is_known(place) else (tls, "recorded.example", place[2])


def _host(transcript: Transcript) -> str:
    tls, host, port = _place(transcript)
    return host if tls else f"{host}:{port}"


def _target(transcript: Transcript) -> str:
    return f"{transcript.path}?{transcript.query}" if transcript.query else transcript.path


def _stated(record: CallRecord) -> dict[str, Any]:
    return {
        "model": record.response_model,
        "finish_reason": record.finish_reason,
        "error": record.status_code >= 400 or record.error is not None,
        "complete": record.end_reason is EndReason.COMPLETED,
        **{name: getattr(record.usage, name, None) for name in _FIGURES},
    }


async def _ask(carrying, agents: dict[Any, RawAgent], transcript: Transcript) -> RawAnswer:
    tls, host, port = place = _place(transcript)
    if place not in agents:
        proxy = carrying.sidecar.proxy
        agents[place] = await (carrying.agent(host=host) if tls else RawAgent.connect(proxy))
    target = _target(transcript) if tls else f"http://{host}:{port}{_target(transcript)}"
    headers = [("Host", _host(transcript)), *transcript.request_headers]
    return await agents[place].ask(transcript.method, target, headers, transcript.request_body)


@pytest.mark.parametrize("corpus", _CORPUS)
async def test_recorded_exchanges_pass_unchanged_and_are_understood(
    carry, recorded, corpus, tmp_path
):
    transcripts = recorded(corpus)
    policy = tmp_path / "policy.yaml"
    policy.write_text(_policy(transcripts, _CORPUS[corpus]))
    names = sorted({_place(transcript)[1] for transcript in transcripts if _place(transcript)[0]})
    problems, agents = [], {}
    async with carry(double={"names": names}, policy=policy) as carrying:
        for number, transcript in enumerate(transcripts):
            carrying.double.script(_cut(transcript, number))
            answer = await _ask(carrying, agents, transcript)
            received = carrying.double.requests[-1]
            problems += _passing_problems(transcript, received, answer)
        for agent in agents.values():
            agent.abort()
        records = await carrying.records(len(transcripts))
    for transcript, record in zip(transcripts, records, strict=True):
        problems += _reading_problems(transcript, record)
    assert problems == [], "\n".join(problems)


def _cut(transcript: Transcript, seed: int) -> Answer:
    return answer_of(transcript, cuts=RandomCuts(seed))


def _passing_problems(transcript: Transcript, received, answer: RawAnswer) -> list[str]:
    sent = [("Host", _host(transcript)), *transcript.request_headers]
    fields = [(name.decode(), value.decode()) for name, value in received.head.headers]
    got = [field for field in fields if field[0] != "Content-Length"]
    checks = {
        "target": received.head.target == _target(transcript),
        "request headers": got == [(name, value.strip()) for name, value in sent],
        "request body": received.body == transcript.request_body,
        "status": answer.status == transcript.status,
        "answer body": answer.body == transcript.response_body,
        "answer headers": _end_to_end(answer.headers) == _end_to_end(transcript.response_headers),
    }
    return [f"{transcript.id}: {what}" for what, right in checks.items() if not right]


def _end_to_end(headers) -> list[tuple[str, str]]:
    framing = {"content-length", "transfer-encoding", "connection"}
    return [
        (name, value.strip())
        for name, value in headers
        if name.lower() not in framing and not name.startswith("remora-")
    ]


def _reading_problems(transcript: Transcript, record: CallRecord) -> list[str]:
    expected = {name: value for name, value in transcript.expect.items() if value is not None}
    if type(reason := expected.get("finish_reason")) is int:  # Vertex with enum-encoding=int
        expected["finish_reason"] = str(reason)
    stated = _stated(record)
    return [
        f"{transcript.id}: {name} is {stated[name]!r}, expected {value!r}"
        for name, value in expected.items()
        if stated[name] != value
    ]
