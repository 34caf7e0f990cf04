"""Every way a provider fails, in every wire format that streams, over real sockets.

Before the commit point another try heals it and nothing of the failed one is seen; after it the
agent sees what the provider did. The cases of one format run side by side on one sidecar.
"""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import pytest

from remora.records import EndReason
from remora.testing.double_answer import Answer, Fault, FaultKind, Framing, encoded
from remora.testing.streamed_answers import STREAMED_ANSWERS, StreamedAnswer
from remora_sidecar.model.connect_to import ConnectTo

FORMATS = pytest.mark.parametrize("said", STREAMED_ANSWERS.values(), ids=STREAMED_ANSWERS)
JSON = (("Content-Type", "application/json"),)
OF_THE_FAILED = (("x-failed", "1"), ("Set-Cookie", "of=the-failed"), ("x-request-id", "failed"))
ERROR = b'{"error":{"type":"server_error","message":"no","code":503},"message":"no"}'
AGENTS_KEY = "sk-of-the-agent"
CASE = "x-case"
DISCONNECTED, TIMEOUT = "disconnected", "timeout"


def good(said, **more):
    fields = (*said.content_types, ("x-good", "1"))
    return Answer(headers=fields, body=said.whole, framing=Framing.CHUNKED, **more)


def bad(said, body, *, status=200, headers=(), fault=None, **more):
    fields = (*(headers or said.content_types), *OF_THE_FAILED)
    return Answer(status, fields, body, framing=Framing.CHUNKED, fault=fault, **more)


def failing_at(said, body, kind):
    return bad(said, said.whole, fault=Fault(kind, len(body)))


def refused(status, *more):
    return lambda said: bad(said, ERROR, status=status, headers=(*JSON, *more))


@dataclass(frozen=True)
class Failing:
    """How a first try fails.

    Attributes:
        answer: What the provider does.
        failure: The record's word for it; empty: that of the format's error.
        states_start: The start of an answer was seen.
        is_plain: It is a JSON error, which Bedrock's streams do not have with status 200.
    """

    answer: Callable[[StreamedAnswer], Answer]
    failure: str = ""
    states_start: bool = False
    is_plain: bool = False


HEALED = {
    "reset before the head": Failing(
        lambda said: good(said, fault=Fault(FaultKind.RESET)), DISCONNECTED
    ),
    "closed before the head": Failing(
        lambda said: good(said, fault=Fault(FaultKind.CLOSE)), DISCONNECTED
    ),
    "reset after the head": Failing(
        lambda said: failing_at(said, b"", FaultKind.RESET), DISCONNECTED
    ),
    "no HTTP": Failing(lambda said: Answer(verbatim=b"nonsense\r\n\r\n", close=True), DISCONNECTED),
    "silent before the head": Failing(
        lambda said: good(said, fault=Fault(FaultKind.STALL)), TIMEOUT
    ),
    "silent after the head": Failing(lambda said: failing_at(said, b"", FaultKind.STALL), TIMEOUT),
    "silent after the start": Failing(
        lambda said: failing_at(said, said.before_output, FaultKind.STALL), TIMEOUT, True
    ),
    "429 with Retry-After": Failing(refused(429, ("Retry-After", "0")), "rate_limited"),
    "429 without Retry-After": Failing(refused(429), "rate_limited"),
    "500": Failing(refused(500), "server_error"),
    "503": Failing(refused(503), "overloaded"),
    "200 with an error": Failing(
        lambda said: bad(said, ERROR, headers=JSON), "server_error", is_plain=True
    ),
    "an error in the stream": Failing(
        lambda said: bad(said, said.before_output + said.error), "", True
    ),
    "an error in a compressed stream": Failing(
        lambda said: encoded(bad(said, said.before_output + said.error), "gzip"), "", True
    ),
    "an error that drips": Failing(
        lambda said: bad(said, said.before_output + said.error, cuts=tuple(range(0, 2000, 30))),
        "",
        True,
    ),
    "reset after the start": Failing(
        lambda said: failing_at(said, said.before_output, FaultKind.RESET), DISCONNECTED, True
    ),
    "dropped after the start": Failing(
        lambda said: failing_at(said, said.before_output, FaultKind.DROP), DISCONNECTED, True
    ),
    "an end after the start": Failing(
        lambda said: bad(said, said.before_output), DISCONNECTED, True
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Passing:
    """What the agent gets to see of a failure.

    Attributes:
        tries: What the provider does, try by try.
        body: What the agent gets.
        is_cut: It is cut there.
        end_reason: The record's; None: whichever the format lets one tell.
        first_failure: The record's word for how the first try failed; empty: it was the only one.
    """

    tries: Callable[[StreamedAnswer], tuple[Answer, ...]]
    body: Callable[[StreamedAnswer], bytes]
    is_cut: bool = False
    end_reason: EndReason | None = EndReason.COMPLETED
    first_failure: str = ""


CUT = {"is_cut": True, "end_reason": EndReason.PROVIDER_CUT}
PASSED = {
    "slow drip": Passing(
        lambda said: (good(said, cuts=tuple(range(0, 4000, 50)), between_chunks_s=0.001),),
        lambda said: said.whole,
    ),
    "compressed": Passing(
        lambda said: (encoded(good(said), "gzip"),),
        lambda said: encoded(good(said), "gzip").body,
    ),
    "reset after the first output": Passing(
        lambda said: (failing_at(said, said.until_output, FaultKind.RESET),),
        lambda said: said.until_output,
        **CUT,
    ),
    "silent after the first output": Passing(
        lambda said: (failing_at(said, said.until_output, FaultKind.STALL),),
        lambda said: said.until_output,
        **CUT,
    ),
    "an error after the first output": Passing(
        lambda said: (bad(said, said.until_output + said.error),),
        lambda said: said.until_output + said.error,
        end_reason=None,
    ),
    "a failure of every try": Passing(
        lambda said: (refused(500)(said), bad(said, said.before_output + said.error)),
        lambda said: said.before_output + said.error,
        end_reason=None,
        first_failure="server_error",
    ),
}


class Provider:
    """Reacts to the tries of each case: as told, then with a good answer."""

    def __init__(self, said, answers):
        """Take what to do, try by try, by case."""
        self.tries = Counter()
        self._said = said
        self._answers = answers

    def __call__(self, request):
        case = request.head.header(CASE)
        done, answers = self.tries[case], self._answers[case]
        self.tries[case] += 1
        return answers[done] if done < len(answers) else good(self._said)


def spec():
    retry = {"attempts": 2, "initial": "1ms", "max": "2ms"}
    hurried = {"condition": f'"{CASE}" in request.headers && request.headers["{CASE}"] '
               '.startsWith("silent")'}  # fmt: skip
    return {
        "includeUsage": "never",
        "breaker": {"consecutiveFailures": 1000, "minimumAttempts": 100000},
        "routes": [
            {
                "name": "hurried",
                "match": hurried,
                "retry": retry,
                "timeouts": {"firstByte": "500ms", "idle": "500ms"},
            },
            {"name": "r", "retry": retry},
        ],
    }


async def ask(carrying, said, case):
    agent = await carrying.agent(host=said.host)
    fields = [
        ("Host", said.host), ("Content-Type", "application/json"), (CASE, case),
        ("Authorization", f"Bearer {AGENTS_KEY}"),
    ]  # fmt: skip
    return await agent.ask("POST", said.target, fields, said.asked)


async def asked_all(ruled, said, answers):
    """Ask every case of one format at once; give each one's answer, record and requests."""
    async with ruled(spec(), double={"names": (said.host,)}) as carrying:
        provider = Provider(said, answers)
        carrying.double.route("POST", said.target.partition("?")[0], provider)
        given = await asyncio.gather(*(ask(carrying, said, case) for case in answers))
        records = {record.call_id: record for record in await carrying.records(len(answers))}
        requests = list(carrying.double.requests)
    return {
        case: (
            answer,
            records[answer.header("remora-call-id")],
            [r for r in requests if r.head.header(CASE) == case],
        )
        for case, answer in zip(answers, given, strict=True)
    }


@FORMATS
async def test_what_fails_before_the_first_output_is_healed_and_what_fails_later_is_seen(
    ruled, said
):
    healed = {
        case: failing
        for case, failing in HEALED.items()
        if not (failing.is_plain and said.dialect.startswith("bedrock"))
    }
    answers = {case: (failing.answer(said),) for case, failing in healed.items()}
    answers |= {case: passing.tries(said) for case, passing in PASSED.items()}
    found = await asked_all(ruled, said, answers)

    problems = {
        **{case: _unhealed(said, failing, *found[case]) for case, failing in healed.items()},
        **{case: _unlike(said, passing, *found[case]) for case, passing in PASSED.items()},
    }
    assert {case: found for case, found in problems.items() if found} == {}


def _unhealed(said, failing, answer, record, requests):
    """What is not as it should be after a failed try and a good one."""
    names = {name.lower() for name, _ in answer.headers}
    usage = record.usage
    wanted = {
        "status": (answer.status, 200),
        "body": (answer.body, said.whole),
        "cut": (answer.cut, False),
        "a header of the good one": ("x-good" in names, True),
        "headers of the failed one": (
            names & {"x-failed", "set-cookie", "x-request-id", "retry-after", "content-encoding"},
            set(),
        ),
        "failures": (
            [attempt.failure for attempt in record.attempts],
            [failing.failure or said.failure, ""],
        ),
        "errors": ([a.error is not None for a in record.attempts], [True, False]),
        "end": (record.end_reason, EndReason.COMPLETED),
        "error": (record.error, None),
        "usage": ((usage.input_tokens, usage.output_tokens) if usage else None, (3, 2)),
        "provider's id": (record.provider_request_id, ""),
        "usage of the failed one": (
            _tokens(record.attempts[0].usage),
            said.usage_in_start if failing.states_start else None,
        ),
        "cost of the failed one": (
            record.attempts[0].cost is not None,
            failing.states_start and said.usage_in_start is not None,
        ),
        "cost of the good one": (record.attempts[1].cost, None),
        "requests": ({r.body for r in requests}, {said.asked}),
        "targets": ({r.head.target for r in requests}, {said.target}),
    }
    return [f"{what} is {got}, not {want}" for what, (got, want) in wanted.items() if got != want]


def _tokens(usage):
    return None if usage is None else (usage.input_tokens, usage.output_tokens)


def _unlike(said, passing, answer, record, requests):
    """What is not as it should be of what no other try can heal."""
    failed = passing.first_failure
    wanted = {
        "status": (answer.status, 200),
        "body": (answer.body, passing.body(said)),
        "cut": (answer.cut, passing.is_cut),
        "requests": (len(requests), 2 if failed else 1),
        "failures": (
            [attempt.failure for attempt in record.attempts],
            [failed, said.failure] if failed else [""],
        ),
        "end": (record.end_reason, passing.end_reason or record.end_reason),
        "stated error": (
            record.error is not None, passing.end_reason is not EndReason.COMPLETED,
        ),
    }  # fmt: skip
    return [f"{what} is {got}, not {want}" for what, (got, want) in wanted.items() if got != want]


ELSEWHERE = {
    "openai-chat": ("groq", "api.groq.com", "/openai/v1/chat/completions", "authorization"),
    "openai-responses": ("groq", "api.groq.com", "/openai/v1/responses", "authorization"),
    "openai-completions": ("together", "api.together.xyz", "/v1/completions", "authorization"),
    "anthropic-messages": ("fireworks", "api.fireworks.ai", "/inference/v1/messages",
                           "authorization"),
}  # fmt: skip

FALLING = {
    case: HEALED[case]
    for case in ("500", "an error in the stream", "reset after the head", "reset after the start")
}


@pytest.mark.parametrize("dialect", ELSEWHERE)
async def test_the_next_candidate_gets_nothing_of_the_first_ones(ruled, dialect):
    said = STREAMED_ANSWERS[dialect]
    provider, host, path, field = ELSEWHERE[dialect]
    rules = {
        "routes": [{"name": "r", "fallback": [{"provider": provider, "model": "elsewhere"}]}],
        "includeUsage": "never",
        "credentials": [{"provider": provider, "secretRef": {"name": "k", "key": "api-key"}}],
        "breaker": {"consecutiveFailures": 1000, "minimumAttempts": 100000},
    }
    names = {"names": (said.host, host)}
    async with ruled(rules, keys={"k": "key-of-policy"}, double=names) as carrying:
        for number, failing in enumerate(FALLING.values(), 1):
            carrying.double.script(failing.answer(said), good(said))
            answer = await ask(carrying, said, "falls")
            *_, first, second = carrying.double.requests
            *_, record = await carrying.records(number)

            assert (answer.status, answer.body) == (200, said.whole)
            assert (first.head.host, second.head.host) == (said.host, host)
            assert AGENTS_KEY.encode() in first.head.raw
            assert AGENTS_KEY.encode() not in second.head.raw
            assert b"key-of-policy" not in first.head.raw
            assert second.head.header(field) == "Bearer key-of-policy"
            assert (second.head.target, second.sni) == (path, host)
            assert json.loads(second.body)["model"] == "elsewhere"
            assert [a.model for a in record.attempts] == [
                json.loads(said.asked)["model"], "elsewhere",
            ]  # fmt: skip
            assert (record.provider, record.sent_model) == (provider, "elsewhere")
            assert record.cost is None  # nobody knows its price, and it has not the first one's


async def test_a_refused_connection_goes_to_the_next_candidate(ruled):
    said = STREAMED_ANSWERS["openai-chat"]
    rules = {
        "routes": [{"name": "r", "fallback": [{"provider": "groq", "model": "m"}]}],
        "credentials": [{"provider": "groq", "secretRef": {"name": "k", "key": "api-key"}}],
    }
    with socket.socket() as closed, socket.socket() as free:
        for one in (closed, free):
            one.bind(("127.0.0.1", 0))
        nowhere, port = closed.getsockname()[1], free.getsockname()[1]
        free.close()
        double = {"names": (said.host, "api.groq.com"), "port": port}
        to = ConnectTo.parse(f"{said.host}:443:127.0.0.1:{nowhere},::127.0.0.1:{port}")
        async with ruled(rules, keys={"k": "k"}, double=double, connect_to=to) as carrying:
            carrying.double.script(good(said))
            answer = await ask(carrying, said, "refused")
            record = await carrying.record()

    assert (answer.status, answer.body) == (200, said.whole)
    assert [attempt.failure for attempt in record.attempts] == ["connect", ""]
    assert [attempt.provider for attempt in record.attempts] == ["openai", "groq"]


async def test_what_failed_tries_used_is_charged_beside_the_answer(ruled):
    said = STREAMED_ANSWERS["anthropic-messages"]
    budget = {"name": "b", "per": "pod", "maxCostUSD": "1", "maxTokens": 100_000}
    async with ruled({**spec(), "budgets": [budget]}, double={"names": (said.host,)}) as carrying:
        carrying.double.script(bad(said, said.before_output + said.error), good(said))
        await ask(carrying, said, "charged")
        record = await carrying.record()
        (row,) = carrying.sidecar.parts.steering.budgeting.ledger.rows()

    failed = record.attempts[0]
    assert failed.cost.total_usd < record.cost.total_usd
    assert row.spent_tokens == 3 + 1 + 3 + 2
    spent_usd = Decimal(row.spent_picousd).scaleb(-12)
    assert spent_usd == record.cost.total_usd + failed.cost.total_usd


async def test_a_try_that_was_not_the_first_says_nothing_of_how_fast_a_model_is(ruled):
    said = STREAMED_ANSWERS["anthropic-messages"]
    async with ruled(spec(), double={"names": (said.host,)}) as carrying:
        latencies = carrying.sidecar.parts.steering.latencies
        clock = carrying.sidecar.parts.clock

        async def expected_s(*answers):
            carrying.double.script(*answers)
            await ask(carrying, said, "timed")
            return latencies.expected_s("anthropic", "claude-sonnet-4-5", clock.monotonic_s())

        assert await expected_s(good(said)) < 5.0
        assert await expected_s(refused(500)(said), good(said)) > 5.0
