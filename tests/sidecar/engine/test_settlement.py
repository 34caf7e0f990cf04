"""Answers made in the background and read later: their usage counts once, with who asked."""

import json

import pytest

from remora.testing.double_answer import Answer

HOST = ("Host", "api.openai.com")
JSON = (("Content-Type", "application/json"),)
USAGE = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}


def _response(status="completed", *, background=True, response_id="resp_1", usage=USAGE):
    return Answer(
        headers=JSON,
        body=json.dumps(
            {
                "id": response_id,
                "object": "response",
                "model": "gpt-4o-mini-2024-07-18",
                "status": status,
                "background": background,
                "usage": usage if status == "completed" else None,
                "output": [],
            }
        ).encode(),
    )


async def _create(carrying, **asked):
    agent = await carrying.agent()
    body = json.dumps({"model": "gpt-4o-mini", "input": "Hi", **asked}).encode()
    return await agent.ask("POST", "/v1/responses", [HOST], body)


async def _read(carrying):
    agent = await carrying.agent()
    return await agent.ask("GET", "/v1/responses/resp_1", [HOST])


async def test_the_first_terminal_read_settles_the_call_that_asked(carrying):
    carrying.double.script(_response("queued"), _response("in_progress"), _response(), _response())
    await _create(carrying, background=True)
    for _ in range(3):
        await _read(carrying)
    asked, waiting, revised, settling, again = await carrying.records(5)
    assert asked.usage is None
    assert asked.error is None
    assert (revised.call_id, revised.revision) == (asked.call_id, 1)
    assert (revised.usage.input_tokens, revised.finish_reason) == (9, "completed")
    assert revised.cost.total_usd > 0
    assert [record.usage for record in (waiting, settling, again)] == [None, None, None]
    assert [record.error for record in (waiting, settling, again)] == [None, None, None]
    assert any(asked.call_id in note for note in settling.notes)
    totals = carrying.sidecar.parts.sessions.default.totals
    assert sum(total.input_tokens for total in totals.values()) == 9
    assert sum(total.calls for total in totals.values()) == 4


async def test_tokens_of_a_settled_call_are_counted_once(carrying):
    carrying.double.script(_response("queued"), _response(), _response())
    await _create(carrying, background=True)
    for _ in range(2):
        await _read(carrying)
    await carrying.records(4)
    sample = carrying.sidecar.parts.metrics.registry.get_sample_value
    assert sample("remora_tokens_total", {"provider": "openai", "type": "input"}) == 9
    calls = {"provider": "openai", "operation": "chat", "outcome": "ok"}
    assert sample("remora_calls_total", calls) == 1


async def test_a_background_answer_that_others_asked_for_counts_with_its_first_read(carrying):
    carrying.double.script(_response(), _response())
    for _ in range(2):
        await _read(carrying)
    first, second = await carrying.records(2)
    assert first.usage.input_tokens == 9
    assert second.usage is None


@pytest.mark.parametrize("known", [True, False], ids=["made here", "made elsewhere"])
async def test_reading_a_stored_answer_adds_nothing(carrying, known):
    stored = _response(background=False)
    carrying.double.script(*[stored] * (2 if known else 1))
    if known:
        await _create(carrying)
    await _read(carrying)
    records = await carrying.records(2 if known else 1)
    assert records[-1].usage is None
    assert records[-1].error is None
    assert not known or records[0].usage.input_tokens == 9
