"""The control and status listeners of a running sidecar."""

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from remora.testing.double_answer import json_answer
from remora.testing.raw_agent import RawAgent

CHAT = "/v1/chat/completions"
SECRET_MODEL = "a model: nobody may know"
BODY = json.dumps({"model": SECRET_MODEL, "messages": [{"role": "user", "content": "hi"}]})


async def _once(controlled: Any, path: str, wanted: Callable[[Any], Any]) -> Any:
    """Ask until what is wanted is there, and give it."""
    async with asyncio.timeout(10):
        while True:
            if found := wanted((await controlled.call("GET", path))[1]):
                return found
            await asyncio.sleep(0.002)


async def test_a_session_is_opened_read_and_ended(controlled) -> None:
    status, opened = await controlled.call("POST", "/v1/sessions", json={"data_id": "d1"})
    assert status == 201
    path = f"/v1/sessions/{opened['session_id']}"
    assert opened["data_id"] == "d1"
    assert opened["proxy_url"].startswith(f"http://{opened['session_id']}@127.0.0.1:")

    status, read = await controlled.call("GET", path)
    assert (status, read["ended"], read["models"]) == (200, False, {})
    assert (await controlled.call("DELETE", path))[0] == 200
    assert (await controlled.call("GET", path))[1]["ended"] is True


async def test_a_sessions_calls_are_added_up_by_model(carrying) -> None:
    _, opened = await carrying.call("POST", "/v1/sessions")
    session_id = opened["session_id"]
    fields = [("Host", "api.openai.com"), ("Content-Type", "application/json")]
    asked = BODY.replace(SECRET_MODEL, "gpt-4o-mini").encode()
    async with await carrying.agent(user=session_id) as agent:
        assert (await agent.ask("POST", CHAT, fields, asked)).status == 200

    totals = await _once(carrying, f"/v1/sessions/{session_id}", lambda seen: seen["models"])
    (model,) = totals.values()
    assert model["calls"] == 1
    assert model["errors"] == 0


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/sessions/sess_unknown", "/v1/sessions/%00"])
async def test_an_unknown_session_is_404(controlled, method, path) -> None:
    status, answer = await controlled.call(method, path)

    assert (status, answer["error"]["code"]) == (404, "UNKNOWN_SESSION")


async def test_the_default_session_can_not_be_ended(controlled) -> None:
    assert (await controlled.call("DELETE", "/v1/sessions/default"))[0] == 404


async def test_a_session_that_can_not_be_opened_says_what_is_wrong(controlled) -> None:
    status, answer = await controlled.call("POST", "/v1/sessions", json={"data": 1, "task_id": 2})

    assert status == 400
    assert answer["error"]["code"] == "BAD_REQUEST"
    assert "data: Extra inputs" in answer["error"]["message"]
    assert "task_id: Input should be a valid string" in answer["error"]["message"]


async def test_a_session_may_say_what_its_calls_are_for(controlled) -> None:
    status, opened = await controlled.call("POST", "/v1/sessions", json={"goal": " support "})
    assert (status, opened["goal"]) == (201, "support")
    _, shown = await controlled.call("GET", f"/v1/sessions/{opened['session_id']}")
    assert shown["goal"] == "support"


@pytest.mark.parametrize("goal", ["", "g" * 129, "a\nb", 7], ids=repr)
async def test_a_goal_that_is_none_is_refused(controlled, goal) -> None:
    status, answer = await controlled.call("POST", "/v1/sessions", json={"goal": goal})
    assert status == 400
    assert "goal: " in answer["error"]["message"]


async def test_a_body_too_large_is_413_in_json(controlled) -> None:
    status, answer = await controlled.call("POST", "/v1/sessions", json={"data_id": "x" * 70_000})

    assert status == 413
    assert answer["error"]["message"]


async def test_a_held_session_ends_with_its_connection(controlled) -> None:
    _, opened = await controlled.call("POST", "/v1/sessions")
    path = f"/v1/sessions/{opened['session_id']}"
    async with await RawAgent.connect(controlled.sidecar.control) as holder:
        await holder.send("GET", f"{path}/hold", [("Host", "127.0.0.1")])
        assert (await holder.head()).status == 200
        assert controlled.sidecar.holds.count == 1
        assert (await controlled.call("GET", path))[1]["ended"] is False

    await _once(controlled, path, lambda seen: seen["ended"])
    assert controlled.sidecar.holds.count == 0


async def test_the_environment_leads_a_child_through_its_session(controlled) -> None:
    _, opened = await controlled.call("POST", "/v1/sessions")
    status, answer = await controlled.call("GET", f"/v1/env?session={opened['session_id']}")

    assert status == 200
    environment = answer["env"]
    proxy = urlsplit(environment["HTTPS_PROXY"])
    assert proxy.username == opened["session_id"]
    assert (proxy.hostname, proxy.port) == controlled.sidecar.proxy
    ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
    assert (
        Path(environment["NODE_EXTRA_CA_CERTS"]).parent == controlled.sidecar.settings.trust_folder
    )


async def test_the_environment_without_a_session_names_none(controlled) -> None:
    _, answer = await controlled.call("GET", "/v1/env")

    assert "@" not in answer["env"]["HTTPS_PROXY"]


async def test_the_environment_of_an_unknown_session_is_404(controlled) -> None:
    assert (await controlled.call("GET", "/v1/env?session=sess_x"))[0] == 404


async def test_anyone_may_ask_for_the_status(controlled) -> None:
    status, answer = await controlled.call(
        "GET", "/v1/status", headers={"Origin": "https://page.example", "Host": "page.example"}
    )

    assert status == 200
    assert (answer["mode"], answer["ready"]) == ("explicit", True)


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/policy"])
async def test_an_agent_without_the_token_makes_no_admin_call(controlled, path) -> None:
    status, answer = await controlled.call("GET", path)
    assert (status, answer["error"]["code"]) == (401, "ADMIN_TOKEN_REQUIRED")
    wrong = {"Authorization": "Bearer sk-some-agents-key"}
    assert (await controlled.call("GET", path, headers=wrong))[0] == 401

    assert (await controlled.call("GET", path, headers=controlled.admin))[0] == 200


async def test_the_owner_sees_every_session_and_the_policy(controlled) -> None:
    await controlled.call("POST", "/v1/sessions")
    _, listed = await controlled.call("GET", "/v1/sessions", headers=controlled.admin)
    _, policy = await controlled.call("GET", "/v1/policy", headers=controlled.admin)

    assert [session["session_id"][:5] for session in listed["sessions"]] == ["defau", "sess_"]
    assert policy["capture"] == "metadata"
    assert policy["version"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "http://127.0.0.1:15080"}, id="a page of our own address"),
        pytest.param({"Origin": "null"}, id="a sandboxed page"),
        pytest.param({"Host": "evil.example"}, id="dns rebinding"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/sessions"), ("GET", "/v1/env"), ("GET", "/v1/policy"), ("GET", "/cache/stats")],
)
async def test_a_page_makes_no_call(controlled, method, path, headers) -> None:
    status, answer = await controlled.call(method, path, headers={**controlled.admin, **headers})

    assert (status, answer["error"]["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/metrics", "/ready", "/cache/stats", "/sessions/a/b"])
async def test_a_root_path_that_is_none_is_404_with_a_text(controlled, method, path) -> None:
    status, answer = await controlled.call(method, path)

    assert (status, list(answer)) == (404, ["error"])
    assert "no such call" in answer["error"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/none"), ("PUT", "/v1/sessions")])
async def test_a_call_that_is_none_is_404(controlled, method, path) -> None:
    assert (await controlled.call(method, path))[0] == 404


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16\x03\x01\x00\x05hello", id="tls"),
        pytest.param(b"GET /v1/status HTTP/9.9\r\n\r\n", id="a version that is none"),
        pytest.param(b"GET / HTTP/1.1\r\nbad header\r\n\r\n", id="a field without a colon"),
    ],
)
async def test_malformed_http_harms_nobody_else(controlled, data) -> None:
    async with await RawAgent.connect(controlled.sidecar.control) as program:
        await program.write(data)
        assert (await program.answer()).status == 400

    assert (await controlled.call("GET", "/v1/status"))[0] == 200


async def test_probes_are_answered(controlled) -> None:
    status, text = await controlled.ask_status("/healthz")
    assert (status, json.loads(text)) == (200, {"ok": True})

    status, text = await controlled.ask_status("/readyz")
    ready = json.loads(text)
    assert (status, ready["ready"], ready["problems"]) == (200, True, [])


async def test_a_sidecar_that_stops_is_not_ready(controlled) -> None:
    controlled.sidecar.ready = False

    status, text = await controlled.ask_status("/readyz")

    assert (status, json.loads(text)["ready"]) == (503, False)


@pytest.mark.parametrize("path", ["/", "/v1/sessions", "/v1/policy", "/records"])
async def test_the_status_listener_serves_nothing_else(controlled, path) -> None:
    assert (await controlled.ask_status(path))[0] == 404


async def test_metrics_count_calls_and_say_nothing_of_requests(carrying, provider) -> None:
    provider.script(json_answer(json.dumps({"id": "x", "model": SECRET_MODEL}).encode()))
    fields = [
        ("Host", "api.openai.com"),
        ("Authorization", "Bearer sk-a-secret-key"),
        ("Content-Type", "application/json"),
        ("remora-task", "a-secret-task"),
    ]
    _, opened = await carrying.call("POST", "/v1/sessions", json={"data_id": "a-secret-datum"})
    async with await carrying.agent(user=opened["session_id"]) as agent:
        target = f"{CHAT}?q=a-secret-query"
        assert (await agent.ask("POST", target, fields, BODY.encode())).status == 200

    _, text = await carrying.ask_status("/metrics")
    assert 'remora_calls_total{operation="chat",outcome=' in text
    assert "remora_spool_depth 1.0" in text
    assert "secret" not in text
    assert SECRET_MODEL not in text
    assert opened["session_id"] not in text
