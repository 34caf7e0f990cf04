"""Every recorded exchange of every dialect, through the whole sidecar over real TLS."""

from typing import Any

import pytest

from remora.records import CallRecord, EndReason
from remora.testing.double_answer import Answer, RandomCuts, answer_of
from remora.testing.raw_agent import RawAnswer
from remora.testing.recorded_calls import (
    CORPUS_DIALECTS,
    RecordedAgent,
    place_of,
    provider_documents,
    target_of,
    tls_names,
)
from remora.testing.transcripts import Transcript

_FIGURES = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip

_TOLD = 6

_NOTHING_IS_CHANGED = """\
apiVersion: remora.dev/v1alpha1
kind: LLMPolicy
metadata: {name: recorded}
spec: {includeUsage: never}
---
"""


def _stated(record: CallRecord) -> dict[str, Any]:
    return {
        "model": record.response_model,
        "finish_reason": record.finish_reason,
        "error": record.status_code >= 400 or record.error is not None,
        "complete": record.end_reason is EndReason.COMPLETED,
        **{name: getattr(record.usage, name, None) for name in _FIGURES},
    }


@pytest.mark.parametrize("corpus", CORPUS_DIALECTS)
async def test_recorded_exchanges_pass_unchanged_and_are_understood(
    carry, recorded, corpus, tmp_path
):
    transcripts = recorded(corpus)
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        _NOTHING_IS_CHANGED + provider_documents(transcripts, CORPUS_DIALECTS[corpus])
    )
    problems = []
    double = {"names": tls_names(transcripts)}
    async with carry(double=double, policy=policy) as carrying:
        async with RecordedAgent(carrying.sidecar.proxy, carrying.ca_pem) as agent:
            for number, transcript in enumerate(transcripts):
                carrying.double.script(_cut(transcript, number))
                answer = await agent.ask(transcript)
                received = carrying.double.requests[-1]
                problems += _passing_problems(transcript, received, answer)
        records = await carrying.records(len(transcripts))
    for transcript, record in zip(transcripts, records, strict=True):
        problems += _reading_problems(transcript, record)
    assert problems == [], "\n".join([f"{len(problems)} problems, such as:", *problems[:_TOLD]])


def _cut(transcript: Transcript, seed: int) -> Answer:
    return answer_of(transcript, cuts=RandomCuts(seed))


def _passing_problems(transcript: Transcript, received, answer: RawAnswer) -> list[str]:
    sent = [("Host", place_of(transcript).authority), *transcript.request_headers]
    fields = [(name.decode(), value.decode()) for name, value in received.head.headers]
    got = [field for field in fields if field[0] != "Content-Length"]
    checks = {
        "target": received.head.target == target_of(transcript),
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
        f"{transcript.id}: {name} is {stated[name]!r}, expected {value!r}; read as "
        f"{record.dialect} of {record.provider} at {record.url}, notes {record.notes}"
        for name, value in expected.items()
        if stated[name] != value
    ]
