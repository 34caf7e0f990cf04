"""Runs that ask more than one provider, each in its own words and with its own key."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.sidecar.workflow_runs.conftest import Provider
from tests.sidecar.workflow_runs.paced import assert_paid

from remora.testing.double_answer import Answer, Framing
from remora.testing.double_request import ReceivedRequest

HAIKU, SMALL = "claude-haiku-4-5", "gpt-4o-mini"
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["city"],
    "properties": {"city": {"type": "string"}},
}
CREDENTIALS = [
    {"provider": name, "secretRef": {"name": name, "key": "api-key"}}
    for name in ("openai", "anthropic")
]


def claude(text: str) -> Answer:
    """A message of Claude's, as a stream that states its usage."""
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": HAIKU, "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 31, "output_tokens": 1},
    }  # fmt: skip
    events: list[Mapping[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
         "usage": {"output_tokens": 17}},
        {"type": "message_stop"},
    ]  # fmt: skip
    lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
    fields = (("content-type", "text/event-stream"),)
    return Answer(200, fields, "".join(lines).encode(), framing=Framing.CHUNKED)


def keyed(folder: Path) -> None:
    """Give policy a key of Anthropic's; that of OpenAI's is there."""
    (folder / "secrets" / "anthropic").mkdir(parents=True)
    (folder / "secrets" / "anthropic" / "api-key").write_text("sk-ant-of-the-policy-0123456789")


def header(request: ReceivedRequest, name: str) -> str:
    return request.head.header(name) or ""


async def test_each_provider_is_asked_in_its_dialect_with_policys_key(
    serve: Any, tmp_path: Path
) -> None:
    keyed(tmp_path)
    ask = {"id": "ask", "prompt": "Which city?", "model": HAIKU, "provider": "anthropic",
           "max_tokens": 100, "output": {"schema": SCHEMA}}  # fmt: skip
    tell = {"id": "tell", "prompt": "Tell of {{steps.ask.outputs.city}}.", "model": SMALL,
            "provider": "openai", "max_tokens": 100}  # fmt: skip
    said = Provider(says=lambda asked: asked["messages"][-1]["content"])
    async with serve(said, credentials=CREDENTIALS) as served:
        served.double.route("POST", "/v1/messages", claude('{"city": "Kiel"}'))
        execution = await served.execute({"name": "two", "steps": [ask, tell]})
        assert execution["outputs"] == {"tell": "Tell of Kiel."}
        who = [(step["provider"], step["model_id"]) for step in execution["steps"]]
        assert who == [("anthropic", HAIKU), ("openai", SMALL)]
        first, second = served.double.requests
        assert first.head.path == "/v1/messages"
        assert header(first, "x-api-key") == "sk-ant-of-the-policy-0123456789"
        assert header(first, "anthropic-version") == "2023-06-01"
        assert header(first, "authorization") == ""
        assert header(second, "authorization") == "Bearer sk-of-the-policy-0123456789"
        records = await assert_paid(served, execution)
        assert 17 in {record.usage.output_tokens for record in records if record.usage}
        assert all(record.cost.total_usd > 0 for record in records)


async def test_a_step_that_names_a_provider_is_asked_of_one_of_its_models(
    serve: Any, tmp_path: Path
) -> None:
    keyed(tmp_path)
    step = {"id": "ask", "prompt": "Which city?", "provider": "anthropic", "tier": "fast",
            "max_tokens": 100}  # fmt: skip
    async with serve(credentials=CREDENTIALS) as served:
        served.double.route("POST", "/v1/messages", claude("Kiel"))
        execution = await served.execute({"name": "one", "steps": [step]})
        assert execution["outputs"] == {"ask": "Kiel"}
        (asked,) = served.asked
        assert asked["model"].startswith("claude-")


async def test_a_clients_own_key_goes_to_its_provider_where_policy_has_none(serve: Any) -> None:
    step = {"id": "ask", "prompt": "Which city?", "tier": "fast", "max_tokens": 100}
    order = {"workflow": {"name": "own", "steps": [step]}}
    key = "sk-proj-" + "a" * 40
    async with serve(Provider(says=lambda asked: "Kiel"), credentials=[]) as served:
        reply = await served.ask(
            "POST", "/v1/workflows/execute", order, Authorization=f"Bearer {key}"
        )
        assert reply.json["outputs"] == {"ask": "Kiel"}
        (received,) = served.double.requests
        assert header(received, "authorization") == f"Bearer {key}"
        assert key not in reply.text


async def test_a_mapped_step_of_claudes_may_look_at_pictures(serve: Any, tmp_path: Path) -> None:
    keyed(tmp_path)
    attached = [{"kind": "image", "url": "{{picture}}"}]
    messages = [{"role": "user", "content": "Which city?", "attachments": attached}]
    step = {"id": "ask", "messages": messages, "model": HAIKU, "provider": "anthropic",
            "max_tokens": 100, "map": {"over": "{{input.pictures}}", "as": "picture"}}  # fmt: skip
    items = {"type": "array", "items": {"type": "string"}}
    given = {"type": "object", "required": ["pictures"], "properties": {"pictures": items}}
    pictures = ["data:image/png;base64,iVBORw0KGgo=", "https://example.com/b.png"]
    async with serve(credentials=CREDENTIALS) as served:
        served.double.route("POST", "/v1/messages", claude("Kiel"))
        execution = await served.execute(
            {"name": "seen", "steps": [step], "input": given}, {"pictures": pictures}
        )
        assert execution["outputs"] == {"ask": ["Kiel", "Kiel"]}
        sources = [asked["messages"][0]["content"][0]["source"]["type"] for asked in served.asked]
        assert sorted(sources) == ["base64", "url"]
        await assert_paid(served, execution)
