"""`remora workflow run`: options, what is shown, exit codes, Ctrl-C."""

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from tests.sdk.api_client.conftest import *  # noqa: F403 - its fixtures
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

STREAM = "POST /workflows/stream"
RUN = [STARTED, step("step_started"), done(), FINAL]


@pytest.fixture
def start(scripted, tmp_path):
    """Give what starts the command beside the scripted sidecar."""

    def start(*arguments, **variables):
        kept = {name: value for name, value in os.environ.items() if "REMORA" not in name}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "remora", "workflow", "run", *arguments],
            env={**kept, "REMORA_GATEWAY_URL": scripted.root, "COLUMNS": "200", **variables},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=tmp_path,
        )  # fmt: skip

    return start


@pytest.fixture
def run(start):
    """Give what runs the command to its end: exit code, standard output, standard error."""

    def run(*arguments, stdin="", **variables):
        process = start(*arguments, **variables)
        out, err = process.communicate(stdin, timeout=60)
        assert "Traceback" not in err, err
        return process.returncode, out, err

    return run


def test_outputs_go_to_standard_output_and_all_else_to_standard_error(scripted, run):
    outputs = {"summary": "Tea is old.\nVery."}
    final = {**FINAL, "result": {**RESULT, "outputs": outputs}}
    scripted.answer(STREAM, Events([*RUN[:-1], final]))
    code, out, err = run("research", "--goal", "tea")
    assert (code, out) == (0, "Tea is old.\nVery.\n")
    assert "research: run exec_1" in err
    assert "gather: completed, gpt-4o-mini, 900ms, $0.0125" in err
    assert "research: completed in 1.20s, $0.0125, 321 tokens, at most $0.115" in err
    assert scripted.last().body["input"] == {"goal": "tea"}


def test_several_outputs_stand_below_their_names(scripted, run):
    outputs = {"code": "x = 1", "tests": [{"name": "a"}]}
    scripted.answer(STREAM, Events([STARTED, {**FINAL, "result": {**RESULT, "outputs": outputs}}]))
    _, out, _ = run("code")
    assert out == 'code:\nx = 1\n\ntests:\n[\n  {\n    "name": "a"\n  }\n]\n'


ENDS = [("failed", 1), ("cancelled", 1), ("budget_exceeded", 1), ("completed", 0)]


@pytest.mark.parametrize(("status", "code"), ENDS, ids=[status for status, _ in ENDS])
def test_the_exit_code_says_how_it_ended(scripted, run, status, code):
    error = {"code": "no_model", "message": "no model was left", "step_id": "gather"}
    result = {**RESULT, "status": status, "error": error if code else None}
    scripted.answer(STREAM, Events([STARTED, {**FINAL, "result": result}]))
    ended, _, err = run("research")
    assert ended == code
    assert f"research: {status} in" in err
    assert ("step gather: no model was left" in err) == bool(code)


def test_programs_get_the_execution_as_json(scripted, run):
    scripted.answer(STREAM, Events(RUN))
    code, out, err = run("research", "--json")
    assert (code, json.loads(out), err) == (0, RESULT, "")


def test_programs_get_each_event_as_a_line_of_json(scripted, run):
    scripted.answer(STREAM, Events(RUN))
    code, out, err = run("research", "--stream-json")
    assert (code, [json.loads(line) for line in out.splitlines()], err) == (0, RUN, "")


def test_input_and_budget_are_put_together(scripted, run, tmp_path):
    (tmp_path / "in.json").write_text('{"goal": "a", "n": 1}')
    (tmp_path / "w.yaml").write_text("name: w")
    scripted.answer(STREAM, Events(RUN))
    run(
        "w.yaml", "--input", "@in.json", "--set", "n=[2]", "--set", "who=me = you", "--goal", "b",
        "--budget-usd", "0.10", "--max-tokens", "500", "--max-latency", "1m30s",
        "--on-exceed", "downgrade", "--task", "t-1",
    )  # fmt: skip
    sent = scripted.last().body
    assert sent.pop("idempotency_key")
    assert sent == {
        "source": {"text": "name: w", "file": "w.yaml"},
        "input": {"goal": "b", "n": [2], "who": "me = you"},
        "budget": {
            "max_cost_usd": "0.10", "max_tokens": 500, "max_latency_ms": 90_000,
            "on_exceed": "downgrade",
        },
        "task_id": "t-1",
    }  # fmt: skip


def test_input_may_come_from_standard_input(scripted, run):
    scripted.answer(STREAM, Events(RUN))
    run("research", "--input", "-", stdin='{"goal": "tea"}')
    assert scripted.last().body["input"] == {"goal": "tea"}


@pytest.mark.parametrize(
    ("variables", "options", "bearer"),
    [
        ({}, (), None),
        ({"ANTHROPIC_API_KEY": "sk-ant-1"}, (), "Bearer sk-ant-1"),
        ({"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-ant-1"}, (), "Bearer sk-1"),
        ({"OPENAI_API_KEY": "sk-1", "MINE": "sk-2"}, ("--key-from", "MINE"), "Bearer sk-2"),
    ],
    ids=["none", "usual", "first", "named"],
)
def test_the_key_of_the_environment_goes_along(scripted, run, variables, options, bearer):
    scripted.answer(STREAM, Events(RUN))
    run("research", *options, **variables)
    assert scripted.last().headers.get("Authorization") == bearer


WRONG = [
    ((), "Missing argument"),
    (("research", "--input", "{"), "--input: is no JSON"),
    (("research", "--input", "@gone.json"), "@gone.json: can't be read"),
    (("research", "--input", "[1]", "--goal", "x"), "JSON object"),
    (("research", "--set", "x"), "should be key=value"),
    (("research", "--budget-usd", "much"), "is no sum of dollars"),
    (("research", "--budget-usd", "-1"), "is no sum of dollars"),
    (("research", "--max-latency", "soon"), "--max-latency"),
    (("research", "--max-latency", "0s"), "longer than nothing"),
    (("research", "--on-exceed", "warn"), "needs a limit"),
    (("research", "--json", "--stream-json"), "exclude each other"),
    (("research", "--key-from", "NOT_SET"), "NOT_SET is not set"),
    (("gone.yaml",), "gone.yaml: can't be read"),
    (("nowhere/w",), "nowhere/w: can't be read"),
]


@pytest.mark.parametrize(("arguments", "why"), WRONG, ids=[" ".join(a) or "-" for a, _ in WRONG])
def test_what_is_wrong_is_said_before_anything_is_sent(scripted, run, arguments, why):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert why in err
    assert scripted.calls() == []


def test_every_problem_of_the_workflow_is_said(scripted, run):
    problems = [{"where": f"w.yaml:{n}:1", "what": f"wrong {n}"} for n in (1, 2)]
    scripted.answer(STREAM, refusal(400, "INVALID_WORKFLOW", problems=problems))
    code, _, err = run("research")
    assert code == 2
    assert err == "remora: w.yaml:1:1: wrong 1\nw.yaml:2:1: wrong 2\n"


def test_a_workflow_that_nobody_knows_is_a_wrong_argument(scripted, run):
    scripted.answer(STREAM, refusal(404, "UNKNOWN_WORKFLOW", "there is no workflow 'x'"))
    code, _, err = run("x")
    assert code == 2
    assert "there is no workflow 'x'; it is no file either" in err


def test_without_a_sidecar_it_says_how_to_start_one(run, tmp_path):
    code, _, err = run("research", REMORA_GATEWAY_URL="http://127.0.0.1:9")
    assert code == 3
    assert "127.0.0.1:9" in err
    assert "not reachable" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "told-to-stop"])
def test_an_interruption_cancels_the_run_and_says_what_it_cost(scripted, start, number):
    cancelled = {**RESULT, "status": "cancelled", "outputs": {}}
    scripted.answer(STREAM, Events(RUN[:2], then="hang"))
    scripted.answer("POST /executions/exec_1/cancel", Reply(cancelled))
    final = {**FINAL, "result": cancelled}
    scripted.answer("GET /executions/exec_1/events", Events([final], first_id=3))
    process = start("research")
    assert process.stderr.readline().startswith("research: run exec_1")
    assert process.stderr.readline() == "gather: asks\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "cancels the run" in err
    assert "research: cancelled in 1.20s, $0.0125" in err
    assert "gather: asks" not in err
    assert "Traceback" not in err


def test_on_a_terminal_the_steps_are_a_table_that_changes(scripted, tmp_path):
    downgraded = {"type": "budget_downgraded", "scope": "workflow", "limit": "max_cost_usd"}
    scripted.answer(STREAM, Events([*RUN[:2], downgraded, *RUN[2:]]))
    ours, theirs = pty.openpty()
    environment = {**os.environ, "REMORA_GATEWAY_URL": scripted.root, "TERM": "xterm"}
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "remora", "workflow", "run", "research"],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs,
            cwd=tmp_path,
        )  # fmt: skip
        os.close(theirs)
        shown = b"".join(_read_all(screen)).decode()
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.decode().startswith("summary:\nTea is old.")
    assert "budget downgraded (scope workflow, limit max_cost_usd)" in shown
    assert "gather" in shown
    assert "completed" in shown
    assert "$0.0125" in shown


def _read_all(screen):
    """Read what a terminal shows until nobody writes to it."""
    while True:
        try:
            chunk = screen.read(4096)
        except OSError:  # the other end is closed
            return
        if not chunk:
            return
        yield chunk
