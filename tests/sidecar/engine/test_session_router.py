import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.records import CallRecord
from remora.router_messages import answer_text
from remora.routing import RouteContext, RoutedSession
from remora.testing.virtual_loop import VirtualTimeLoop
from remora_sidecar.engine.session_router import (
    ANSWER_WITHIN_S,
    HISTORY_BYTES,
    LEFT_AS_IT_WAS,
    MAX_ASKS,
    Advice,
    SessionRouter,
)

LATE = Advice(None, "the session's router did not answer within 250 ms: unrouted")


def context(**changed):
    told = {"request_body": {"model": "a"}, "provider": "openai", "requested_model": "a"}
    return RouteContext(**{**told, "session": RoutedSession("sess_1"), **changed})


def in_virtual_time(main):
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


async def asked(router):
    return json.loads(await router.next_message())


def put(router, **changed):
    return asyncio.ensure_future(router.ask(context(**changed)))


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        ('{"ask": 1, "model": "b"}', Advice("b")),
        ('{"ask": 1, "model": null}', LEFT_AS_IT_WAS),
        ('{"ask": 1, "model": "b", "confidence": 0.5}', Advice("b")),
        (
            '{"ask": 1, "model": null, "error": "KeyError"}',
            Advice(None, "the session's router failed (KeyError): unrouted"),
        ),
        (
            '{"ask": 1, "model": "b", "error": "sk-secret in a text"}',
            Advice(None, "the session's router failed (unnamed): unrouted"),
        ),
        *(
            (
                f'{{"ask": 1, "model": {model}}}',
                Advice(None, "the session's router answered with what is no model: unrouted"),
            )
            for model in ("7", '""', '["b"]', '"a\\nb"', '"' + "x" * 257 + '"')
        ),
        (
            '{"ask": 1}',
            Advice(None, "the session's router answered with what is no model: unrouted"),
        ),
    ],
)
def test_an_answer_becomes_advice(answer, advice):
    async def main():
        router = SessionRouter()
        ask = put(router)
        assert (await asked(router))["ask"] == 1
        router.take(answer)
        return await ask

    assert in_virtual_time(main) == advice


def test_a_call_waits_a_quarter_of_a_second_and_no_longer():
    async def main():
        router, loop = SessionRouter(), asyncio.get_running_loop()
        began = loop.time()
        advice = await router.ask(context())
        return advice, loop.time() - began

    advice, took_s = in_virtual_time(main)
    assert advice == LATE
    assert took_s == pytest.approx(ANSWER_WITHIN_S, abs=0.01)


def test_a_late_answer_is_ignored_and_not_taken_for_the_next_ask():
    async def main():
        router = SessionRouter()
        first = await router.ask(context())
        second = put(router)
        await asyncio.sleep(0)
        router.take('{"ask": 1, "model": "late"}')
        router.take('{"ask": 2, "model": "b"}')
        return first, await second

    assert in_virtual_time(main) == (LATE, Advice("b"))


def test_an_ask_that_nobody_waits_for_any_more_is_never_sent():
    async def main():
        router = SessionRouter()
        await router.ask(context())
        gone = put(router)
        await asyncio.sleep(0)
        gone.cancel()
        last = put(router)
        await asyncio.sleep(0)
        number = (await asked(router))["ask"]
        router.take(answer_text(number, "b"))
        return number, await last

    assert in_virtual_time(main) == (3, Advice("b"))


def test_answers_find_their_asks_in_any_order():
    async def main():
        router = SessionRouter()
        asks = [put(router, requested_model=f"m{index}") for index in range(MAX_ASKS)]
        told = [await asked(router) for _ in asks]
        for one in reversed(told):
            router.take(answer_text(one["ask"], one["context"]["requested_model"] + "!"))
        return await asyncio.gather(*asks)

    assert [one.model for one in in_virtual_time(main)] == [f"m{i}!" for i in range(MAX_ASKS)]


def test_no_more_asks_than_the_bound_are_in_flight():
    async def main():
        router = SessionRouter()
        asks = [put(router) for _ in range(MAX_ASKS)]
        await asyncio.sleep(0)
        over = await router.ask(context())
        await asyncio.gather(*asks)
        after = put(router)
        await asyncio.sleep(0)
        router.take(answer_text(MAX_ASKS + 1, "b"))
        return over, await after

    over, after = in_virtual_time(main)
    assert over.note == "the session's router has 64 calls to answer already: unrouted"
    assert after == Advice("b")


def test_a_router_that_leaves_lets_its_calls_go_at_once():
    async def main():
        router, loop = SessionRouter(), asyncio.get_running_loop()
        began, ask = loop.time(), put(router)
        await asyncio.sleep(0)
        router.close("left before it answered")
        router.close("something later")
        advice, later = await ask, await router.ask(context())
        return advice, later, await router.next_message(), loop.time() - began

    advice, later, message, took_s = in_virtual_time(main)
    assert advice == later == Advice(None, "the session's router left before it answered: unrouted")
    assert message is None
    assert took_s < ANSWER_WITHIN_S


def test_who_waits_for_asks_is_told_of_the_end():
    async def main():
        router = SessionRouter()
        waiting = asyncio.ensure_future(router.next_message())
        await asyncio.sleep(0)
        router.close("left before it answered")
        return await waiting

    assert in_virtual_time(main) is None


def test_the_newest_records_that_fit_are_told_oldest_first():
    records = [
        CallRecord(f"{index:032x}", started_unix_ns=index, url="https://x/" + "y" * 20_000)
        for index in range(20)
    ]

    async def main():
        router = SessionRouter()
        ask = put(router, history=tuple(records))
        text = await router.next_message()
        ask.cancel()
        return text

    text = in_virtual_time(main)
    told = [record["call_id"] for record in json.loads(text)["context"]["history"]]
    assert 0 < len(told) < len(records)
    assert told == [record.call_id for record in records[-len(told) :]]
    assert len(text) < HISTORY_BYTES + 4096


def test_a_body_that_can_not_be_told_leaves_the_call_unrouted():
    body: dict[str, object] = {}
    for _ in range(200_000):
        body = {"a": body}

    async def main():
        return await SessionRouter().ask(context(request_body=body))

    note = in_virtual_time(main).note
    assert note == (
        "the session's router was not asked (the request's body is nested too deep): unrouted"
    )


@given(st.text() | st.binary())
def test_whatever_comes_is_an_answer_or_a_value_error(text):
    try:
        SessionRouter().take(text)
    except ValueError:
        return
