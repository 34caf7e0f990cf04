"""Runs that are watched: broken connections, restarts, interruptions, limits of time."""

import signal
import threading
from decimal import Decimal

import pytest
from tests.sdk.api_client.scripted_sidecar import (
    FINAL,
    RESULT,
    STARTED,
    Events,
    Reply,
    done,
    refusal,
    step,
)

from remora import ApiError, Client, RateLimitError
from remora.api_client import InvalidWorkflow, RunTimeout
from remora.errors import ConfigError, Problem, Unavailable

STREAM = "POST /workflows/stream"
FOLLOW = "GET /executions/exec_1/events"
CANCEL = "POST /executions/exec_1/cancel"
CANCELLED = Reply({**RESULT, "status": "cancelled"})


@pytest.fixture
def client(scripted):
    with Client(base_url=scripted.url) as client:
        yield client


def kinds(events) -> list[str]:
    return [event["type"] for event in events]


def test_a_run_gives_its_result_with_exact_money(scripted, client):
    scripted.answer(STREAM, Events([STARTED, step("step_started"), done(), FINAL]))
    result = client.workflows.execute(
        workflow="research",
        input={"goal": "tea"},
        budget={"max_cost_usd": 0.25, "on_exceed": "downgrade"},
    )
    assert result["outputs"] == RESULT["outputs"]
    assert result["total_cost_usd"] == Decimal("0.0125")
    assert result["steps"][0]["cost_usd"] == Decimal("0.0125")
    sent = scripted.last().body
    assert sent.pop("idempotency_key")
    assert sent == {
        "workflow": "research",
        "input": {"goal": "tea"},
        "budget": {"max_cost_usd": 0.25, "on_exceed": "downgrade"},
    }


def test_events_come_one_by_one_with_a_final_one(scripted, client):
    scripted.answer(STREAM, Events([STARTED, step("step_started"), done(), FINAL]))
    events = list(client.workflows.stream("research", {"goal": "tea"}))
    assert kinds(events) == ["started", "step_started", "step_completed", "final"]
    assert events[2]["cost_usd"] == Decimal("0.0125")
    assert events[3]["result"]["outputs"]["summary"] == "Tea is old."


def test_a_run_that_failed_is_a_result(scripted, client):
    failed = {**RESULT, "status": "failed", "error": {"code": "no_model", "message": "none"}}
    scripted.answer(STREAM, Events([STARTED, {**FINAL, "result": failed}]))
    assert client.workflows.execute("research")["error"]["code"] == "no_model"


@pytest.mark.parametrize("then", ["break", "end"])
def test_a_broken_stream_goes_on_after_its_last_event(scripted, client, then):
    scripted.answer(STREAM, Events([STARTED, step("step_started")], then=then))
    scripted.answer(FOLLOW, Events([done()], then="break", first_id=3), Events([FINAL], first_id=4))
    events = client.workflows.stream("research")
    assert kinds(events) == ["started", "step_started", "step_completed", "final"]
    follows = [seen for seen in scripted.seen if seen.call.endswith("/events")]
    assert [seen.headers["Last-Event-ID"] for seen in follows] == ["1-2", "1-3"]


def test_what_is_told_again_after_a_restart_is_passed_over(scripted, client):
    scripted.answer(STREAM, Events([STARTED, step("step_started"), done()], then="break"))
    again = [STARTED, done(), step("step_started", "cite"), done("cite"), FINAL]
    scripted.answer(FOLLOW, Events(again, life=2))
    events = list(client.workflows.stream("research"))
    assert kinds(events) == [
        "started", "step_started", "step_completed", "step_started", "step_completed", "final",
    ]  # fmt: skip


def test_an_order_whose_answer_was_lost_is_sent_again_under_its_key(scripted, client):
    scripted.answer(STREAM, Events([], then="break"), Events([STARTED, FINAL]))
    assert client.workflows.execute("research")["status"] == "completed"
    keys = [seen.body["idempotency_key"] for seen in scripted.seen]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_sidecar_that_restarts_loses_no_run(scripted, client):
    scripted.answer(STREAM, Events([STARTED], then="hang"))
    scripted.answer(FOLLOW, Events([FINAL], life=2))
    events = client.workflows.stream("research")
    assert next(events)["type"] == "started"
    scripted.stop()
    started = threading.Timer(0.3, scripted.start)
    started.start()
    assert kinds(events) == ["final"]
    started.join()


def test_a_sidecar_that_stops_is_waited_for(scripted, client):
    scripted.answer(STREAM, Events([STARTED], then="break"))
    scripted.answer(FOLLOW, refusal(503, "STOPPING"), Events([FINAL], first_id=2))
    assert client.workflows.execute("research")["status"] == "completed"


def test_a_run_that_is_not_known_any_more_is_said(scripted, client):
    scripted.answer(STREAM, Events([STARTED], then="break"))
    scripted.answer(FOLLOW, refusal(404, "UNKNOWN_EXECUTION", "there is none"))
    with pytest.raises(ApiError, match="there is none"):
        client.workflows.execute("research")


def test_a_sidecar_that_stays_away_is_said_with_the_runs_id(scripted, client, monkeypatch):
    monkeypatch.setattr("remora.api_client.run_stream.MAX_BROKEN", 2)
    scripted.answer(STREAM, Events([STARTED], then="break"))
    scripted.answer(FOLLOW, Events([], then="break"))
    with pytest.raises(Unavailable, match="exec_1"):
        client.workflows.execute("research")
    assert CANCEL not in scripted.calls()


def test_without_a_sidecar_nothing_is_waited_for():
    client = Client(base_url="http://127.0.0.1:9", max_retries=1)
    with pytest.raises(Unavailable, match="not reachable"):
        client.workflows.execute("research")


PROBLEMS = [
    {"where": "w.yaml:3:4 steps[0].prompt", "what": "there is no step 'b'"},
    {"where": "w.yaml:5:1 steps[1]", "what": "a circle"},
]


@pytest.mark.parametrize("code", ["INVALID_WORKFLOW", "INVALID_INPUT"])
def test_every_problem_of_a_workflow_is_raised_at_once(scripted, client, code):
    scripted.answer(STREAM, refusal(400, code, "2 problems", problems=PROBLEMS))
    with pytest.raises(ConfigError) as caught:
        client.workflows.execute({"name": "x"})
    assert caught.value.problems == tuple(Problem(**problem) for problem in PROBLEMS)
    assert isinstance(caught.value, InvalidWorkflow)
    assert isinstance(caught.value, ApiError)
    assert (caught.value.code, caught.value.status_code) == (code, 400)


def test_too_many_runs_are_tried_again(scripted, client):
    wait = refusal(429, "TOO_MANY_EXECUTIONS", headers={"Retry-After": "0.01"})
    scripted.answer(STREAM, wait, Events([STARTED, FINAL]))
    assert client.workflows.execute("research")["status"] == "completed"
    scripted.answer(STREAM, wait)
    with pytest.raises(RateLimitError):
        client.workflows.execute("research")


# interruptions


def test_an_interrupted_wait_cancels_the_run(scripted, client):
    scripted.answer(STREAM, Events([STARTED, step("step_started")], then="hang"))
    scripted.answer(CANCEL, CANCELLED)

    def interrupt() -> None:
        scripted.wait_until_hanging()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        client.workflows.execute("research")
    interrupting.join()
    assert scripted.wait_for(CANCEL).body == {"reason": "interrupted"}
    assert scripted.left.wait(30)


def test_a_wait_interrupted_before_the_run_is_known_cancels_it_by_its_key(scripted, client):
    scripted.answer(STREAM, Events([], then="hang"), Events([STARTED], then="hang"))
    scripted.answer(CANCEL, CANCELLED)

    def interrupt() -> None:
        scripted.wait_until_hanging()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        client.workflows.execute("research")
    interrupting.join()
    assert scripted.wait_for(CANCEL)


def test_a_run_that_takes_too_long_is_cancelled(scripted, client):
    scripted.answer(STREAM, Events([STARTED], then="hang"))
    scripted.answer(CANCEL, CANCELLED)
    with pytest.raises(RunTimeout) as caught:
        client.workflows.execute("research", timeout_s=0.2)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.execution_id == "exec_1"
    assert scripted.calls()[-1] == CANCEL


def test_a_stream_that_is_not_listened_to_any_more_lets_the_run_go_on(scripted, client):
    scripted.answer(STREAM, Events([STARTED], then="hang"))
    events = client.workflows.stream("research")
    next(events)
    events.close()
    assert scripted.left.wait(30)
    assert scripted.calls() == [STREAM]
    assert list(events) == []


def test_an_interrupted_stream_can_be_gone_on_with(scripted, client):
    scripted.answer(STREAM, Events([STARTED, done()], then="hang"))
    scripted.answer(FOLLOW, Events([FINAL], first_id=3))
    events = client.workflows.stream("research")
    assert kinds([next(events), next(events)]) == ["started", "step_completed"]
    events.close()
    assert kinds(events.again()) == ["final"]
    assert scripted.last().headers["Last-Event-ID"] == "1-2"


# runs that are there


def test_runs_are_listed_shown_and_steered(scripted, client):
    scripted.answer("GET /executions", Reply({"executions": [{"execution_id": "exec_1"}]}))
    scripted.answer("GET /executions/exec_1", Reply(RESULT))
    for what in ("cancel", "pause", "resume"):
        scripted.answer(f"POST /executions/exec_1/{what}", Reply({**RESULT, "did": what}))
    assert client.executions.list() == [{"execution_id": "exec_1"}]
    assert client.executions.get("exec_1")["total_cost_usd"] == Decimal("0.0125")
    assert client.executions.cancel("exec_1", "enough")["did"] == "cancel"
    assert scripted.last().body == {"reason": "enough"}
    assert client.executions.pause("exec_1")["did"] == "pause"
    assert client.executions.resume("exec_1")["did"] == "resume"
    assert scripted.last().body == {}


def test_a_run_that_is_there_is_followed_from_its_beginning(scripted, client):
    scripted.answer(FOLLOW, Events([STARTED, FINAL]))
    assert kinds(client.executions.stream("exec_1")) == ["started", "final"]
    assert "Last-Event-ID" not in scripted.last().headers


def test_workflows_are_listed_and_shown(scripted, client):
    shown = {"name": "research", "estimate": {"most": {"cost_usd": "0.115"}}}
    scripted.answer("GET /workflows", Reply({"workflows": [{"name": "research"}]}))
    scripted.answer("GET /workflows/research", Reply(shown))
    assert client.workflows.list() == [{"name": "research"}]
    assert client.workflows.get("research")["estimate"]["most"]["cost_usd"] == Decimal("0.115")
