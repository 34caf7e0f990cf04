"""Attempts, retries and fallback before the commit point; none after it. Over real sockets."""

import asyncio
import json

import pytest

from remora.records import EndReason
from remora.testing.double_answer import Answer, Fault, FaultKind

CHAT = "/v1/chat/completions"
HEADERS = [("Host", "api.openai.com"), ("Content-Type", "application/json")]
FAST = {"initial": "1ms", "max": "2ms"}
STREAM_HEAD = (("Content-Type", "text/event-stream"),)
JSON_HEAD = (("Content-Type", "application/json"),)


def body(*, stream=False):
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(asked).encode()


def event(value):
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def delta(**said):
    return event({"model": "gpt-4o", "choices": [{"index": 0, "delta": said}]})


ROLE = delta(role="assistant", content="")
USAGE = event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
DONE = event(b"[DONE]")
GOOD = ROLE + delta(content="Hello") + USAGE + DONE
ERROR = event({"error": {"type": "server_error", "message": "it broke"}})
GOOD_JSON = json.dumps(
    {
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
).encode()


def streamed(content, **more):
    return Answer(
        headers=STREAM_HEAD, body=content, cuts=tuple(range(20, len(content), 20)), **more
    )


def failed(status, content=b'{"error":{"type":"server_error","message":"no"}}', headers=()):
    return Answer(status=status, headers=(*JSON_HEAD, *headers), body=content)


def retrying(attempts=2, **route):
    return {"routes": [{"name": "r", "retry": {"attempts": attempts, **FAST}, **route}]}


FALLBACK = {"routes": [{"name": "r", "fallback": [{"model": "gpt-4o-mini"}]}]}


async def begin(carrying):
    """Ask for a stream without waiting for it."""
    agent = await carrying.agent()
    asked = body(stream=True)
    await agent.send("POST", CHAT, [*HEADERS, ("Content-Length", str(len(asked)))], asked)
    return agent


async def ask(carrying, *, stream=False):
    agent = await carrying.agent()
    return await agent.ask("POST", CHAT, HEADERS, body(stream=stream))


FAULTS = {
    "429": failed(429),
    "500": failed(500),
    "503": failed(503),
    "529": failed(529),
    "200 with an error": Answer(headers=JSON_HEAD, body=b'{"error":{"message":"no"}}'),
    "refused before the head": Answer(fault=Fault(FaultKind.RESET)),
    "closed before the head": Answer(fault=Fault(FaultKind.CLOSE)),
    "cut in the body": Answer(headers=JSON_HEAD, body=GOOD_JSON, fault=Fault(FaultKind.RESET, 20)),
    "an error as the first event": streamed(ERROR),
    "an error after the role": streamed(ROLE + ERROR),
    "a stream cut after the role": Answer(
        headers=STREAM_HEAD, body=ROLE + GOOD, fault=Fault(FaultKind.RESET, len(ROLE))
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("spec", [retrying(), FALLBACK], ids=["tried again", "the next candidate"])
async def test_what_fails_before_the_first_output_is_never_seen(ruled, fault, spec):
    is_stream = fault.headers == STREAM_HEAD
    async with ruled(spec) as carrying:
        good = streamed(GOOD) if is_stream else Answer(headers=JSON_HEAD, body=GOOD_JSON)
        carrying.double.script(fault, good)
        answer = await ask(carrying, stream=is_stream)
        record = await carrying.record()
        sent = [json.loads(r.body)["model"] for r in carrying.double.requests if r.body]

    assert (answer.status, answer.cut) == (200, False)
    assert answer.body == (GOOD if is_stream else GOOD_JSON)
    assert len(record.attempts) == 2
    assert record.attempts[0].failure
    assert not record.attempts[1].failure
    assert record.end_reason is EndReason.COMPLETED
    assert record.usage.output_tokens == 2
    second = "gpt-4o-mini" if spec is FALLBACK else "gpt-4o"
    assert (sent[-1], record.sent_model) == (second, second)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_what_is_the_requests_own_fault_is_not_tried_again(ruled, status):
    async with ruled(retrying(3)) as carrying:
        carrying.double.script(failed(status), failed(500))
        answer = await ask(carrying)
        assert len(carrying.double.requests) == 1

    assert answer.status == status


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_what_another_candidate_may_do_goes_to_it(ruled, status):
    async with ruled({"routes": [{**FALLBACK["routes"][0], **retrying(3)["routes"][0]}]}) as c:
        c.double.script(failed(status), Answer(headers=JSON_HEAD, body=GOOD_JSON))
        answer = await ask(c)
        assert len(c.double.requests) == 2

    assert answer.status == 200


async def test_the_last_failure_is_the_agents_as_the_provider_worded_it(ruled):
    worded = b'{"error":{"type":"x","message":"in its own words"}}'
    async with ruled(FALLBACK) as carrying:
        carrying.double.script(
            failed(500, b"first", (("x-first", "1"),)), failed(529, worded, (("x-second", "1"),))
        )
        answer = await ask(carrying)
        record = await carrying.record()

    assert (answer.status, answer.body) == (529, worded)
    assert answer.header("x-first") is None
    assert answer.header("x-second") == "1"
    assert [a.failure for a in record.attempts] == ["server_error", "overloaded"]
    assert [a.status_code for a in record.attempts] == [500, 529]
    assert record.status_code == 529


async def test_nothing_is_tried_again_after_the_first_output(ruled):
    begun = ROLE + delta(content="Hel")
    async with ruled(retrying()) as carrying:
        carrying.double.script(
            Answer(headers=STREAM_HEAD, body=begun + GOOD, fault=Fault(FaultKind.RESET, len(begun)))
        )
        answer = await ask(carrying, stream=True)
        record = await carrying.record()
        assert len(carrying.double.requests) == 1

    assert answer.cut
    assert answer.body == begun
    assert record.end_reason is EndReason.PROVIDER_CUT
    assert record.usage.estimated


async def test_an_error_event_after_the_first_output_passes(ruled):
    content = ROLE + delta(content="Hel") + ERROR
    async with ruled(retrying()) as carrying:
        carrying.double.script(streamed(content))
        answer = await ask(carrying, stream=True)
        assert len(carrying.double.requests) == 1

    assert answer.body == content


@pytest.mark.parametrize(
    ("after", "tries"), [("0", 2), ("3600", 1)], ids=["soon", "later than policy waits"]
)
async def test_retry_after_is_heeded_as_far_as_policy_waits(ruled, after, tries):
    async with ruled(retrying(2)) as carrying:
        carrying.double.script(
            failed(429, headers=(("Retry-After", after),)),
            Answer(headers=JSON_HEAD, body=GOOD_JSON),
        )
        answer = await ask(carrying)
        assert len(carrying.double.requests) == tries

    assert answer.status == (200 if tries == 2 else 429)


async def test_without_a_route_nothing_is_tried_again(ruled):
    async with ruled({}) as carrying:
        carrying.double.script(failed(500))
        answer = await ask(carrying)
        assert len(carrying.double.requests) == 1

    assert answer.status == 500


async def test_without_retry_or_fallback_events_are_not_held(ruled):
    async with ruled({"routes": [{"name": "r", "timeouts": {"idle": "5s"}}]}) as carrying:
        carrying.double.script(streamed(ROLE + GOOD, fault=Fault(FaultKind.STALL, len(ROLE))))
        agent = await begin(carrying)
        async with asyncio.timeout(5):
            head = await agent.head()
            first = await anext(aiter(agent.pieces(head)))
        assert first
        agent.abort()


@pytest.mark.parametrize(
    ("timeouts", "answer", "kind"),
    [
        ({"firstByte": "60ms"}, Answer(before_head_s=30.0), "first_byte_timeout"),
        ({"total": "60ms"}, Answer(before_head_s=30.0), "total_timeout"),
    ],
    ids=["no head", "no answer in all"],
)
async def test_silence_ends_in_a_timeout(ruled, timeouts, answer, kind):
    async with ruled({"routes": [{"name": "r", "timeouts": timeouts}]}) as carrying:
        carrying.double.script(answer)
        found = await ask(carrying)
        record = await carrying.record()

    assert found.status == 504
    assert record.error.type == kind
    assert record.end_reason is EndReason.NO_ANSWER


async def test_a_silent_start_is_tried_elsewhere(ruled):
    route = {"name": "r", "timeouts": {"idle": "60ms"}, "fallback": [{"model": "gpt-4o-mini"}]}
    async with ruled({"routes": [route]}) as carrying:
        carrying.double.script(
            Answer(headers=STREAM_HEAD, body=ROLE + GOOD, fault=Fault(FaultKind.STALL, len(ROLE))),
            streamed(GOOD),
        )
        answer = await ask(carrying, stream=True)
        record = await carrying.record()

    assert answer.body == GOOD
    assert record.attempts[0].failure == "timeout"


async def test_silence_after_the_first_output_is_a_cut(ruled):
    begun = ROLE + delta(content="Hel")
    async with ruled({"routes": [{"name": "r", "timeouts": {"idle": "60ms"}}]}) as carrying:
        carrying.double.script(
            Answer(headers=STREAM_HEAD, body=begun + GOOD, fault=Fault(FaultKind.STALL, len(begun)))
        )
        answer = await ask(carrying, stream=True)
        record = await carrying.record()

    assert answer.cut
    assert record.error.type == "idle_timeout"
    assert record.end_reason is EndReason.PROVIDER_CUT


async def test_who_keeps_failing_is_left_alone(ruled):
    spec = {**FALLBACK, "breaker": {"consecutiveFailures": 2, "openFor": "1h"}}
    async with ruled(spec) as carrying:
        good = Answer(headers=JSON_HEAD, body=GOOD_JSON)
        carrying.double.script(failed(500), good, failed(500), good, good)
        for _ in range(3):
            assert (await ask(carrying)).status == 200
        *_, last = await carrying.records(3)

    assert [a.model for a in last.attempts] == ["gpt-4o-mini"]
    assert any("gpt-4o was left alone" in note for note in last.notes)


async def test_an_agent_that_leaves_while_an_answer_is_held_ends_the_attempt(ruled):
    async with ruled(retrying()) as carrying:
        carrying.double.script(
            Answer(headers=STREAM_HEAD, body=ROLE + GOOD, fault=Fault(FaultKind.STALL, len(ROLE)))
        )
        agent = await begin(carrying)
        await carrying.until(lambda: carrying.double.scripts_left == 0)
        agent.abort()
        record = await carrying.record()
        await carrying.double.until(lambda: carrying.double.aborted)

    assert record.end_reason is EndReason.CLIENT_GONE


async def test_a_long_start_is_let_go_at_the_bound(ruled):
    pings = b": ping\n\n" * 100
    async with ruled(retrying()) as carrying:
        content = ROLE + pings + ERROR
        carrying.double.script(streamed(content))
        answer = await ask(carrying, stream=True)
        assert len(carrying.double.requests) == 1

    assert answer.body == content


async def test_a_router_leaves_out_who_keeps_failing(ruled):
    candidates = [{"model": "gpt-4o"}, {"model": "gpt-4o-mini"}]
    router = {"policy": "conditional", "candidates": candidates}
    breaker = {"consecutiveFailures": 2, "openFor": "1h"}
    async with ruled({"routes": [{"name": "r", "router": router}], "breaker": breaker}) as carrying:
        carrying.double.script(
            failed(500), failed(500), *[Answer(headers=JSON_HEAD, body=GOOD_JSON)] * 2
        )
        statuses = [(await ask(carrying)).status for _ in range(3)]
        *_, last = await carrying.records(3)

    assert statuses == [500, 500, 200]
    assert last.sent_model == "gpt-4o-mini"
    found = {c.model: c.filtered_out_by for c in last.receipt.candidates}
    assert found == {"gpt-4o-mini": "", "gpt-4o": "circuit_open"}
