"""`remora policy explain`: what a policy would make of a request, asked on the command line."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

from remora.cli.main import cli
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"

SPEC = {
    "models": {"deny": ["o3"]},
    "routes": [
        {
            "name": "tasked",
            "match": {"models": ["gpt-4o"], "condition": "task.id == 't1'"},
            "router": {
                "policy": "random",
                "seed": 1,
                "candidates": [{"model": "gpt-4o-mini"}, {"model": "o3"}],
            },
            "fallback": [{"provider": "groq", "model": "llama-3.3-70b-versatile"}],
            "retry": {"attempts": 3, "initial": "500ms", "max": "4s"},
            "timeouts": {"connect": "5s", "total": "2m"},
        }
    ],
    "cache": {"mode": "read"},
    "budgets": [{"name": "daily", "per": "pod", "maxCostUSD": "5", "window": "1d"}],
    "credentials": [
        {"provider": "openai", "secretRef": {"name": "openai", "key": "api-key"}},
        {"provider": "groq", "secretRef": {"name": "groq", "key": "api-key"}},
    ],
}

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}
KEY = "sk-planted-0123456789abcdef0123456789"


def _document(name="p", **spec):
    return {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "LLMPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture
def policy(tmp_path, monkeypatch):
    """A policy file, and an environment that holds one of the two keys that it names."""
    for name in [name for name in os.environ if name.startswith(("REMORA_", "OPENAI_", "GROQ_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("REMORA_SECRETS_DIR", str(tmp_path / "secrets"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    file = tmp_path / "p.yaml"
    file.write_text(json.dumps(_document(**SPEC)))
    return file


def _asked(*arguments, body=BODY):
    """Ask with a body on standard input; gives how the command ended."""
    text = body if isinstance(body, str) else json.dumps(body)
    command = ["policy", "explain", *map(str, arguments), "--request", "-"]
    return CliRunner().invoke(cli, command, input=text)


def _json(*arguments, body=BODY):
    ended = _asked("--json", *arguments, body=body)
    assert ended.exit_code == 0, ended.output
    (line,) = ended.stdout.splitlines()
    return json.loads(line)


def test_a_person_is_told_where_a_request_would_go_and_why(policy, tmp_path):
    ended = _asked(policy, "--task", "t1")
    lines = ended.stdout.splitlines()
    missing = tmp_path / "secrets" / "groq" / "api-key"
    assert ended.exit_code == 0
    assert lines[:2] == [
        "call        POST https://api.openai.com/v1/chat/completions",
        "asked for   gpt-4o (chat) of openai, dialect openai-chat",
    ]
    assert lines[2].startswith("policy      p, version ")
    assert lines[3:5] == [
        "rule        tasked",
        "router      random; its choice had a chance of 100.0%",
    ]
    assert lines[5].startswith("candidates  openai/gpt-4o-mini: chosen, likely to cost $")
    assert lines[6:8] == [
        "            openai/o3: left out: the policy does not permit its model (models)",
        "fallback    groq/llama-3.3-70b-versatile",
    ]
    assert lines[8].startswith("budgets     daily (per pod): ok; used $0 of $5.00 before, begins")
    assert lines[9:] == [
        "goes to     openai/gpt-4o-mini at https://api.openai.com/v1/chat/completions, "
        "key: the policy's",
        "            groq/llama-3.3-70b-versatile at "
        "https://api.groq.com/openai/v1/chat/completions, key: the policy's; it can't be sent: "
        f"no key for 'groq': there is no file {missing} and no variable GROQ_API_KEY; "
        "mount the Secret or set the variable",
        "tries       3 of each, pauses from 0.5 s up to 4 s",
        "time limits connect 5 s, in all 120 s",
        "cache       the answer is looked up",
        "bodies      capture: metadata",
        "outcome     sent",
        "notes       budgets and rates are asked as if no call had been made before",
    ]


def test_the_value_of_a_key_is_nowhere(policy):
    url = f"https://api.openai.com/v1/chat/completions?api_key={KEY}"
    secret = ["--url", url, "--header", f"Authorization: Bearer {KEY}"]
    assert KEY not in _asked(policy, "--task", "t1", *secret).output
    assert KEY not in _asked(policy, "--json", "--task", "t1", *secret).output


def test_json_has_the_words_of_receipts_and_where_the_request_would_go(policy):
    shown = _json(policy, "--task", "t1")
    assert (shown["intercepted"], shown["rule"], shown["refusal"]) == (True, "tasked", None)
    assert shown["candidates"][0]["reasons"] == ["chosen"]
    assert shown["decision"]["model_id"] == "gpt-4o-mini"
    assert shown["decision"]["requested_model_id"] == "gpt-4o"
    models = [stop["model_id"] for stop in shown["stops"]]
    assert models == ["gpt-4o-mini", "llama-3.3-70b-versatile"]
    assert [bool(stop["problem"]) for stop in shown["stops"]] == [False, True]
    assert shown["patience"]["tries"] == 3
    assert shown["cache"] == {"reads": True, "writes": False, "reason": None}


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ([], None),
        (["--task", "t1"], "tasked"),
        (["--header", "remora-task: t1"], "tasked"),
        (["--header", "remora-task: t1", "--task", "t2"], None),
        (["--task", "t1", "--url", "https://api.openai.com/v1/embeddings"], None),
    ],
    ids=["no task", "option", "header", "option before header", "another operation"],
)
def test_what_is_said_of_the_request_decides_which_rule_takes_it(policy, options, rule):
    assert _json(policy, *options)["rule"] == rule


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({**BODY, "model": "o3"}, 403, "MODEL_DENIED"),
        ({**BODY, "max_tokens": 10_000_000}, 429, "BUDGET_EXCEEDED"),
    ],
    ids=["denied model", "budget"],
)
def test_a_request_that_would_be_refused_is_answered_with_the_refusal(policy, body, status, code):
    shown = _json(policy, body=body)
    assert (shown["refusal"]["status"], shown["refusal"]["code"]) == (status, code)
    assert (shown["stops"], shown["decision"]["refused_by"]) == ([], code)
    said = _asked(policy, body=body).stdout
    assert f"outcome     refused: {status} {code}: " in said


def test_a_body_that_is_no_json_is_explained_as_the_engine_would_take_it(policy):
    shown = _json(policy, "--task", "t1", body="{nope")
    assert (shown["decision"]["requested_model_id"], shown["rule"]) == (None, None)
    assert shown["notes"]


def test_a_list_of_models_is_a_get_that_no_rule_takes(policy):
    ended = CliRunner().invoke(
        cli,
        ["policy", "explain", str(policy), "--json", "--url", "https://api.openai.com/v1/models"],
    )
    shown = json.loads(ended.stdout)
    assert (shown["method"], shown["rule"], shown["refusal"]) == ("GET", None, None)
    assert shown["stops"][0]["url"] == "https://api.openai.com/v1/models"


def test_a_host_that_is_no_providers_is_passed_by(policy):
    shown = _json(policy, "--url", "https://example.com/")
    assert (shown["intercepted"], shown["decision"]["model_id"]) == (False, None)
    assert "does not intercept it" in _asked(policy, "--url", "https://example.com/").stdout


def test_labels_choose_the_policy_and_are_what_conditions_see(tmp_path, policy):
    routed = {
        "selector": {"matchLabels": {"app": "a"}},
        "routes": [{"name": "labelled", "match": {"condition": "pod.labels.app == 'a'"}}],
    }
    policy.write_text(json.dumps(_document("other", **routed)))
    assert _json(policy, "--labels", "app=a")["rule"] == "labelled"
    assert _json(policy, "--labels", "app=b")["policy"] == "default"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--request FILE, --call CALL_ID or --url URL"),
        (["--url", "ftp://x"], "a URL begins with https:// or http://"),
        (["--url", "https://x:y/"], "the URL can't be read"),
        (["--call", "1", "--url", "https://api.openai.com/"], "--call takes the whole request"),
        (["--url", "https://x/", "--header", "nothing"], "a header is written 'Name: value'"),
        (["--request", "/nowhere.json"], "No such file"),
    ],
    ids=["nothing", "no web", "bad port", "both", "no header", "no file"],
)
def test_a_question_that_makes_no_sense_is_2_and_says_why(policy, options, said):
    command = [sys.executable, "-P", "-m", "remora", "policy", "explain", str(policy), *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_labels_without_files_are_a_wrong_question(policy):
    ended = _asked("--labels", "app=a")
    assert ended.exit_code == 2
    assert "name FILE as well" in ended.output


def _keys(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def test_the_page_names_every_key(policy):
    page = PAGE.read_text()
    shown = _json(policy, "--task", "t1")
    refused = _json(policy, body={**BODY, "model": "o3"})
    assert [key for key in (*_keys(shown), *_keys(refused)) if f"`{key}`" not in page] == []


def _recorded(number, **fields):
    record = pb.CallRecord(
        call_id=f"{number:032x}",
        started_unix_nano=1_790_000_000_000_000_000,
        method="POST",
        url="https://api.openai.com/v1/chat/completions",
        status_code=200,
        request_bytes=90,
        attribution=pb.Attribution(session_id="sess_1", task_id="t1"),
        capture="full",
    )
    record.MergeFrom(pb.CallRecord(**fields))
    return record


CONTENT = json.dumps(BODY).encode()
WHOLE = pb.Body(content=CONTENT, original_bytes=len(CONTENT), content_type="application/json")
CUT = pb.Body(content=CONTENT[:10], original_bytes=len(CONTENT), truncated=True)


@pytest.fixture
async def call(policy):
    """Ask about calls that an aggregator has."""
    records = [
        _recorded(1, request_body=WHOLE),
        _recorded(2, capture="metadata"),
        _recorded(3, request_body=CUT),
        _recorded(4, request_body=WHOLE, capture="redacted"),
        _recorded(5, opaque=True),
        _recorded(6, method="GET", url="https://api.openai.com/v1/models", request_bytes=0),
        _recorded(7),
    ]
    records[5].request_bytes = 0

    async def reports():
        yield pb.ReportRequest(hello=pb.ReportRequest.Hello(pod_uid="pod-1"))
        entries = [
            pb.ReportRequest.Entry(sequence=number, record=record)
            for number, record in enumerate(records)
        ]
        yield pb.ReportRequest(entries=entries)

    async with temporary_aggregator() as aggregator:
        async with grpc.aio.insecure_channel(aggregator.address) as channel:
            async for _ in pb_grpc.RecordServiceStub(channel).Report(reports()):
                pass

        async def run(number, *arguments):
            command = ["policy", "explain", str(policy), "--call", f"{number:032x}", *arguments]
            return await asyncio.to_thread(
                CliRunner().invoke, cli, [*command, "--aggregator", aggregator.address]
            )

        yield run


async def test_a_recorded_call_is_asked_again_with_its_task_and_time(call):
    shown = json.loads((await call(1, "--json")).stdout)
    assert (shown["rule"], shown["decision"]["requested_model_id"]) == ("tasked", "gpt-4o")
    assert shown["budgets"][0]["resets_at"].startswith("2026-09-22T00:00:00")
    assert any("records keep no headers" in note for note in shown["notes"])
    other = json.loads((await call(1, "--json", "--task", "t2")).stdout)
    assert other["rule"] is None


async def test_a_call_without_a_body_needs_none(call):
    shown = json.loads((await call(6, "--json")).stdout)
    assert (shown["method"], shown["url"]) == ("GET", "https://api.openai.com/v1/models")


async def test_a_redacted_body_is_said_to_differ(call):
    assert "the body was redacted" in (await call(4)).stdout


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (2, "its policy kept no bodies (capture: metadata). Give the body with --request"),
        (3, f"only the first 10 of its request's {len(CONTENT)} bytes were kept"),
        (5, "it was relayed without being read"),
        (7, "its request's body is not there any more"),
        (8, f"has no call {8:032x}"),
    ],
    ids=["metadata", "cut", "opaque", "shed", "unknown"],
)
async def test_a_call_that_can_not_be_asked_again_is_1_and_says_why(call, number, why):
    ended = await call(number)
    assert ended.exit_code == 1
    assert why in ended.output
