"""Conversations of the official SDK over WebSocket, through the whole sidecar and over TLS."""

import json
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import openai
import pytest
from websockets.exceptions import ConnectionClosed

from remora.records import CallRecord, EndReason
from remora.testing.double_answer import (
    FaultKind,
    RandomCuts,
    TalkingWebSocket,
    json_answer,
)
from remora_sidecar.dialects.openai.realtime import OpenAIRealtime
from remora_sidecar.dialects.openai.realtime_conversation import RealtimeConversation
from remora_sidecar.settings import format_address

MODEL = "gpt-realtime-2025-08-28"
USAGE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {"text_tokens": 119, "audio_tokens": 13, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}
SESSION = {"type": "session.created", "event_id": "event_0",
           "session": {"id": "sess_1", "type": "realtime", "model": MODEL}}  # fmt: skip


def _events(number: int, usage: Any = USAGE) -> list[dict[str, Any]]:
    response = {"id": f"resp_{number}", "object": "realtime.response", "output": []}
    place = {"response_id": f"resp_{number}", "item_id": "item_1", "output_index": 0}
    call = {"id": "item_2", "type": "function_call", "name": "get_weather", "arguments": "{}"}
    return [
        {"type": "response.created", "response": {**response, "status": "in_progress"}},
        {"type": "response.output_text.delta", **place, "content_index": 0, "delta": "Hëllo 😀"},
        {"type": "response.output_audio.delta", **place, "content_index": 0, "delta": "AAAA" * 999},
        {"type": "response.done", "response": {
            **response, "status": "completed", "status_details": None, "usage": usage,
            "output": [call]}},
    ]  # fmt: skip


def _sent(events: Iterable[dict[str, Any]]) -> list[str]:
    return [
        json.dumps({"event_id": f"event_{number}", **event}, ensure_ascii=False)
        for number, event in enumerate(events)
    ]


class _Provider:
    """Answers each `response.create` as told."""

    def __init__(self, *answers: list[str | bytes | FaultKind]) -> None:
        self.heard: list[dict[str, Any]] = []
        self._answers = list(answers)

    def reply(self, message: str) -> list[str | bytes | FaultKind]:
        event = json.loads(message)
        self.heard.append(event)
        return self._answers.pop(0) if event["type"] == "response.create" else []

    def websocket(self, **options: Any) -> TalkingWebSocket:
        options.setdefault("greeting", json.dumps(SESSION))
        return TalkingWebSocket(self.reply, **options)


@asynccontextmanager
async def _connected(carrying, *, model: str = "gpt-realtime", user: str = "", **options: Any):
    trust = ssl.create_default_context(cadata=carrying.ca_pem)
    account = f"{user}:x@" if user else ""
    proxy = f"http://{account}{format_address(carrying.sidecar.proxy)}"
    client = openai.AsyncOpenAI(api_key="sk-test", max_retries=0)
    options = {"ssl": trust, "proxy": proxy, **options}
    async with (
        client,
        client.realtime.connect(model=model, websocket_connection_options=options) as connection,
    ):
        yield connection


async def _until(connection: AsyncIterator[Any], kind: str, seen: list[Any] | None = None) -> Any:
    async for event in connection:
        if seen is not None:
            seen.append(event)
        if event.type == kind:
            return event
    raise AssertionError(f"no {kind} came")


async def _two_responses(carrying, provider: _Provider, **options: Any) -> list[CallRecord]:
    async with _connected(carrying, **options) as connection:
        assert (await connection.recv()).session.model == MODEL
        for number in (1, 2):
            await connection.response.create(event_id=f"ask_{number}")
            done = await _until(connection, "response.done")
            # A record is in the spool before the agent learns that the response is whole.
            assert carrying.sidecar.spool.depth == number
            assert done.response.usage.output_tokens == 121
    assert [event["event_id"] for event in provider.heard] == ["ask_1", "ask_2"]
    return await carrying.records(2)


async def test_budgets_count_each_response_while_the_connection_goes_on(ruled):
    budget = {"name": "b", "per": "pod", "maxTokens": 2_000}
    provider = _Provider(_sent(_events(1)), _sent(_events(2)))
    async with ruled({"budgets": [budget]}) as carrying:
        ledger = carrying.sidecar.parts.steering.budgeting.ledger
        carrying.double.script(provider.websocket())
        seen = []
        async with _connected(carrying) as connection:
            for _ in range(2):
                (account,) = ledger.books[0].accounts.all()
                seen.append(account.held)
                await connection.response.create()
                await _until(connection, "response.done")
        await carrying.until(lambda: account.held[1] == account.held[3])

    (_, before, _, held), (_, spent, _, _) = seen
    assert (before, spent, account.held[1]) == (0, 253, 506)
    assert held == 1_000


@pytest.mark.parametrize(
    ("double", "agent"),
    [
        ({}, {}),
        ({"deflate": True}, {}),
        ({"deflate": True}, {"compression": None}),
        ({"fragments": 5}, {}),
        ({"fragments": 3, "deflate": True, "cuts": RandomCuts(1, 100)}, {}),
        ({"cuts": RandomCuts(2, 50)}, {"compression": None}),
    ],
    ids=["plain", "deflate", "deflate not offered", "fragments", "all at once", "cut"],
)
async def test_two_responses_are_two_priced_records(carrying, double, agent):
    provider = _Provider(_sent(_events(1)), _sent(_events(2)))
    carrying.double.script(provider.websocket(**double))
    records = await _two_responses(carrying, provider, **agent)
    assert len({record.call_id for record in records}) == 2
    for number, record in enumerate(records, 1):
        assert (record.provider, record.dialect) == ("openai", "openai-realtime")
        assert (record.operation, record.status_code, record.stream) == ("chat", 101, True)
        assert (record.requested_model, record.response_model) == ("gpt-realtime", MODEL)
        assert (record.response_id, record.finish_reason) == (f"resp_{number}", "completed")
        assert (record.usage.input_tokens, record.usage.output_tokens) == (132, 121)
        assert (record.usage.input_audio_tokens, record.usage.output_audio_tokens) == (13, 91)
        assert record.usage.cache_read_tokens == 0
        assert not record.usage.estimated
        assert record.tool_names == ("get_weather",)
        assert (record.error, record.end_reason) == (None, EndReason.COMPLETED)
        assert 0 < record.ttft_s <= record.latency_s
        assert record.response_bytes > 3996
        # 119 text at 4, 13 audio at 32, 30 text at 16 and 91 audio at 64 USD a million.
        assert record.cost.total_usd == Decimal("0.007196")
        assert record.attribution.trace_id in record.notes[0]
    assert records[0].started_unix_ns < records[1].started_unix_ns


async def test_what_the_agent_gets_is_what_the_provider_sent(carrying):
    events = _events(1)
    carrying.double.script(_Provider(_sent(events)).websocket(fragments=3, deflate=True))
    seen: list[Any] = []
    async with _connected(carrying) as connection:
        await connection.recv()
        await connection.response.create()
        await _until(connection, "response.done", seen)
    assert [event.type for event in seen] == [event["type"] for event in events]
    assert seen[1].delta == "Hëllo 😀"


async def test_responses_of_a_session_count_for_it(carrying):
    opened = await _control(carrying, "POST", "/v1/sessions", json={"data_id": "row-7"})
    carrying.double.script(_Provider(_sent(_events(1))).websocket())
    path = f"/v1/sessions/{opened['session_id']}"
    async with _connected(carrying, user=opened["session_id"]) as connection:
        await connection.response.create()
        await _until(connection, "response.done")
        during = await _control(carrying, "GET", path)
    await carrying.until(lambda: carrying.sidecar.parts.metrics.in_flight == 0)
    after = await _control(carrying, "GET", path)
    record = await carrying.record()
    assert record.attribution.data_id == "row-7"
    assert (during["in_flight"], after["in_flight"]) == (1, 0)
    assert after["models"][MODEL]["calls"] == 1
    assert after["models"][MODEL]["output_tokens"] == 121


async def _control(carrying, method: str, path: str, **options: Any) -> Any:
    url = f"http://{format_address(carrying.sidecar.control)}{path}"
    async with aiohttp.ClientSession() as http, http.request(method, url, **options) as answer:
        return await answer.json()


@pytest.mark.parametrize("usage", [None, {}, {"total_tokens": "many"}], ids=repr)
async def test_a_whole_response_without_usage_is_an_error(carrying, usage):
    carrying.double.script(_Provider(_sent(_events(1, usage))).websocket())
    async with _connected(carrying) as connection:
        await connection.response.create()
        await _until(connection, "response.done")
    record = await carrying.record()
    assert (record.usage, record.cost) == (None, None)
    assert record.error.type == "usage_unreadable"
    assert carrying.sidecar.parts.sessions.default.totals[MODEL].unread_usage == 1
    assert "input_tokens" in record.error.message


@pytest.mark.parametrize(
    "ending", [FaultKind.CLOSE, FaultKind.DROP, FaultKind.RESET], ids=lambda kind: kind.value
)
async def test_a_response_that_the_provider_cuts_is_recorded_with_an_estimate(carrying, ending):
    half = _sent(_events(1))[2][:100].encode()
    begun = _sent(_events(1))[:2]
    carrying.double.script(_Provider([*begun, b"\x81\x7e\x0f\xff" + half, ending]).websocket())
    async with _connected(carrying) as connection:
        await connection.response.create()
        with pytest.raises((ConnectionClosed, AssertionError)):
            await _until(connection, "response.done")
    record = await carrying.record()
    assert (record.end_reason, record.response_id) == (EndReason.PROVIDER_CUT, "resp_1")
    assert record.error.type == "provider_cut"
    assert (record.usage.output_tokens, record.usage.estimated) == (3, True)
    assert record.cost is None


async def test_why_the_provider_closed_in_the_middle_is_told(carrying):
    close = b"\x88\x0b\x03\xf3too tired"
    carrying.double.script(_Provider([_sent(_events(1))[0], close]).websocket())
    async with _connected(carrying) as connection:
        await connection.response.create()
        with pytest.raises((ConnectionClosed, AssertionError)):
            await _until(connection, "response.done")
    record = await carrying.record()
    assert record.end_reason is EndReason.PROVIDER_CUT
    assert "(1011 too tired)" in record.error.message


@pytest.mark.parametrize("politely", [True, False], ids=["closing", "vanishing"])
async def test_a_response_that_the_agent_leaves_is_recorded(carrying, politely):
    carrying.double.script(_Provider(_sent(_events(1))[:3]).websocket())
    async with _connected(carrying) as connection:
        await connection.response.create()
        await _until(connection, "response.output_audio.delta")
        if not politely:
            connection._connection.transport.abort()
    record = await carrying.record()
    assert (record.end_reason, record.error) == (EndReason.CLIENT_GONE, None)
    assert record.usage.estimated
    assert record.ttft_s is not None
    await carrying.double.until(lambda: carrying.double.connections == 0)


async def test_a_response_is_recorded_when_the_sidecar_is_stopped(carry):
    async with carry(drain_s=0.05) as carrying:
        carrying.double.script(_Provider(_sent(_events(1))[:3]).websocket())
        async with _connected(carrying) as connection:
            await connection.response.create()
            await _until(connection, "response.output_audio.delta")
            await carrying.sidecar.engine.aclose(0.05)
            record = await carrying.record()
    assert (record.end_reason, record.response_id) == (EndReason.STOPPED, "resp_1")


async def test_a_request_that_was_refused_or_never_answered_is_a_record(carrying):
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "code": "bad_tool",
               "message": "no such tool", "param": "tools", "event_id": "ask_1"}}  # fmt: skip
    carrying.double.script(_Provider(_sent([refusal]), []).websocket())
    async with _connected(carrying) as connection:
        await connection.response.create(event_id="ask_1")
        await _until(connection, "error")
        await connection.response.create(event_id="ask_2")
    refused, left = await carrying.records(2)
    assert (refused.error.type, refused.end_reason) == (
        "invalid_request_error",
        EndReason.COMPLETED,
    )
    assert (left.error, left.end_reason) == (None, EndReason.CLIENT_GONE)
    assert (refused.usage, left.usage) == (None, None)


async def test_a_connection_without_a_response_leaves_one_record_of_itself(carrying):
    carrying.double.script(_Provider().websocket())
    async with _connected(carrying) as connection:
        await connection.recv()
    record = await carrying.record()
    assert (record.operation, record.status_code) == ("realtime", 101)
    assert (record.requested_model, record.response_model) == ("gpt-realtime", MODEL)
    assert (record.response_id, record.end_reason) == ("sess_1", EndReason.COMPLETED)
    assert (record.error, record.usage) == (None, None)


async def test_an_error_outside_a_response_is_noted(carrying):
    error = {"type": "error", "error": {"type": "server_error", "message": "no audio"}}
    carrying.double.script(_Provider().websocket(greeting=json.dumps(error)))
    async with _connected(carrying) as connection:
        await connection.recv()
    record = await carrying.record()
    assert record.error is None
    assert any("server_error: no audio" in note for note in record.notes)


async def test_a_refused_handshake_leaves_one_record(carrying):
    refusal = {"error": {"type": "invalid_request_error", "message": "no such model"}}
    carrying.double.script(json_answer(json.dumps(refusal).encode(), status=400))
    with pytest.raises(Exception, match="400"):
        async with _connected(carrying):
            pass
    record = await carrying.record()
    assert (record.operation, record.status_code) == ("realtime", 400)
    assert (record.error.type, record.error.message) == ("invalid_request_error", "no such model")


async def test_bytes_that_are_no_frames_pass_and_end_the_watching(carrying):
    agent = await carrying.agent()
    carrying.double.script(_Provider().websocket(greeting="", headers=(("x", "y"),)))
    await agent.send("GET", "/v1/realtime?model=gpt-realtime", _UPGRADE)
    assert (await agent.head()).status == 101
    await agent.write(b"\x83\x80\x00\x00\x00\x00 is no opcode")
    assert (await agent.reader.read()).endswith(b"opcode 0x3")
    record = await carrying.record()
    assert any("the agent's messages are not read" in note for note in record.notes)


_UPGRADE = [
    ("Host", "api.openai.com"), ("Connection", "Upgrade"), ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]  # fmt: skip


async def test_a_bug_in_the_watching_does_not_break_the_relaying(carrying, monkeypatch, caplog):
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(RealtimeConversation, "from_provider", fail)
    carrying.double.script(_Provider(_sent(_events(1))).websocket())
    async with _connected(carrying) as connection:
        await connection.response.create()
        done = await _until(connection, "response.done")
    assert done.response.id == "resp_1"
    record = await carrying.record()
    assert any("failed inside Remora" in note for note in record.notes)
    assert "a conversation can't be watched any longer" in caplog.text


@pytest.mark.parametrize("preset", ["none", "tracker"])
async def test_a_turn_is_captured_as_what_asked_and_what_ended_it(carry, preset):
    async with carry(preset=preset) as carrying:
        events = _sent(_events(1))
        carrying.double.script(_Provider(events).websocket())
        async with _connected(carrying) as connection:
            await connection.response.create(event_id="ask")
            await _until(connection, "response.done")
        record = await carrying.record()
    if preset == "none":
        assert (record.request_body, record.response_body) == (None, None)
    else:
        assert json.loads(record.request_body.content)["event_id"] == "ask"
        assert record.response_body.content.decode() == events[-1]
        assert record.response_body.original_bytes == sum(len(e.encode()) for e in events)


async def test_transcriptions_are_records_of_their_own(carrying):
    told = [
        {"type": "session.updated", "session": {"model": MODEL, "audio": {
            "input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}}}},
        {"type": "input_audio_buffer.committed", "item_id": "item_9"},
        {"type": "conversation.item.input_audio_transcription.delta", "item_id": "item_9",
         "content_index": 0, "delta": "Is it"},
        {"type": "conversation.item.input_audio_transcription.completed", "item_id": "item_9",
         "content_index": 0, "transcript": "Is it raining?", "usage": {
            "type": "tokens", "total_tokens": 22, "input_tokens": 13, "output_tokens": 9,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 13}}},
    ]  # fmt: skip
    carrying.double.script(_Provider([*_sent(told), *_sent(_events(1))]).websocket())
    async with _connected(carrying) as connection:
        await connection.response.create()
        await _until(connection, "response.done")
    transcription, response = await carrying.records(2)
    assert (transcription.operation, response.operation) == ("transcription", "chat")
    assert transcription.response_model == "gpt-4o-mini-transcribe"
    assert (transcription.usage.input_tokens, transcription.usage.output_tokens) == (13, 9)
    assert transcription.cost.total_usd == Decimal("0.000084")
    assert (response.response_model, response.usage.input_tokens) == (MODEL, 132)


@pytest.mark.parametrize(
    "path", ["/v1/realtime/client_secrets", "/v1/realtime/transcription_sessions"]
)
async def test_what_is_asked_around_a_conversation_is_plain_http(carrying, path):
    answered = {"value": "ek_1", "expires_at": 1, "session": {"model": MODEL}}
    carrying.double.script(json_answer(json.dumps(answered).encode()))
    agent = await carrying.agent()
    asked = json.dumps({"session": {"type": "realtime", "model": "gpt-realtime"}}).encode()
    await agent.ask("POST", path, [_UPGRADE[0], ("Content-Type", "application/json")], asked)
    record = await carrying.record()
    assert (record.dialect, record.operation) == (OpenAIRealtime.name, "realtime")
    assert (record.requested_model, record.usage, record.error) == ("gpt-realtime", None, None)


async def test_responses_over_websocket_are_records_too(carrying):
    def answers(number: int) -> list[str]:
        response = {"id": f"resp_{number}", "object": "response", "model": "gpt-4o-mini-2024-07-18",
                    "output": [], "status": "in_progress", "usage": None}  # fmt: skip
        usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100,
                 "input_tokens_details": {"cached_tokens": 200},
                 "output_tokens_details": {"reasoning_tokens": 0}}  # fmt: skip
        done = {**response, "status": "completed", "usage": usage}
        place = {"item_id": "i", "output_index": 0, "content_index": 0, "logprobs": []}
        events = [
            {"type": "response.created", "sequence_number": 0, "response": response},
            {"type": "response.output_text.delta", "sequence_number": 1, "delta": "Hi", **place},
            {"type": "response.completed", "sequence_number": 2, "response": done},
        ]
        return [json.dumps(event) for event in events]

    carrying.double.script(_Provider(answers(1), answers(2)).websocket(greeting="", deflate=True))
    trust = ssl.create_default_context(cadata=carrying.ca_pem)
    options = {"ssl": trust, "proxy": f"http://{format_address(carrying.sidecar.proxy)}"}
    client = openai.AsyncOpenAI(api_key="sk-test", max_retries=0)
    async with (
        client,
        client.responses.connect(websocket_connection_options=options) as connection,
    ):
        for number in (1, 2):
            await connection.response.create(model="gpt-4o-mini", input="Hello")
            await _until(connection, "response.completed")
            assert carrying.sidecar.spool.depth == number
    for number, record in enumerate(await carrying.records(2), 1):
        assert (record.dialect, record.operation) == ("openai-responses", "chat")
        assert (record.requested_model, record.response_id) == ("gpt-4o-mini", f"resp_{number}")
        assert (record.usage.input_tokens, record.usage.cache_read_tokens) == (1000, 200)
        assert record.cost.total_usd == Decimal("0.000195")
        assert (record.error, record.end_reason) == (None, EndReason.COMPLETED)
