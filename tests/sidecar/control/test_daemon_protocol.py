"""The published tracker's protocol at the root paths: keys, statuses, errors, who may ask."""

import base64
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from cryptography import x509

from remora.records import Attribution, Body, CallRecord
from remora_sidecar.control.daemon_protocol import RETRY_AFTER_S
from remora_sidecar.engine.named_routers import NamedRouters
from remora_sidecar.gateway import Gateway
from remora_sidecar.settings import format_address


@pytest.fixture
async def ask(controlled):
    """Makes a control call; gives the whole answer."""
    async with httpx.AsyncClient(base_url=url_of(controlled), timeout=60) as client:
        yield client.request


def url_of(running: Any) -> str:
    return f"http://{format_address(running.sidecar.control)}"


async def test_health_says_one_thing_and_no_more(ask):
    answer = await ask("GET", "/health")

    assert (answer.status_code, answer.json()) == (200, {"ok": True})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="no body"),
        pytest.param(b"{}", id="nothing said"),
        pytest.param(b'{"data_id": null, "combo_id": null, "agent_id": null}', id="nulls"),
        pytest.param(b'{"data_id": "node=a + node2=b::dp_1", "combo_id": "c"}', id="ids"),
        pytest.param(b'{"data_id": "' + b"x" * 4000 + b'"}', id="a long id"),
        pytest.param(b'{"router": null}', id="no router"),
        pytest.param(b'{"router": {"policy": "random", "kwargs": {"candidates": ["a"]}}}', id="r"),
        pytest.param(b'{"something": "newer"}', id="a key of the future"),
    ],
)
async def test_a_session_is_opened_with_exactly_these_keys(ask, controlled, body):
    answer = await ask("POST", "/sessions", content=body)

    assert answer.status_code == 200
    opened = answer.json()
    assert list(opened) == ["session_id", "proxy_port", "ca_pem_b64"]
    assert opened["session_id"].startswith("sess_")
    assert opened["proxy_port"] not in (controlled.sidecar.proxy[1], controlled.sidecar.control[1])
    x509.load_pem_x509_certificate(base64.b64decode(opened["ca_pem_b64"]))
    asked = json.loads(body or b"{}")
    session = controlled.sidecar.parts.sessions.get(opened["session_id"])
    assert session.data_id == (asked.get("data_id") or "")


async def test_the_ca_is_that_of_sessions(ask, controlled):
    answer = (await ask("GET", "/ca")).json()

    assert list(answer) == ["ca_pem_b64"]
    assert base64.b64decode(answer["ca_pem_b64"]) == controlled.sidecar.authority.root_pem


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"{", "body", id="no JSON"),
        pytest.param(b"[]", "body", id="no object"),
        pytest.param(b'{"data_id": 7}', "data_id", id="an id that is no text"),
        pytest.param(b'{"data_id": "' + b"x" * 5000 + b'"}', "data_id", id="an endless id"),
        pytest.param(b'{"router": "random"}', "router", id="a router that is no object"),
        pytest.param(b'{"router": {"kwargs": {}}}', "policy", id="a router without a name"),
        pytest.param(b'{"router": {"policy": 1}}', "policy", id="a name that is no text"),
        pytest.param(
            b'{"router": {"policy": "random", "kwargs": []}}', "kwargs", id="kwargs of no names"
        ),
        pytest.param(
            b'{"router": {"policy": "random", "kwargs": {"seed": 1}}}', "candidates", id="too few"
        ),
        pytest.param(
            b'{"router": {"policy": "none_such"}}', "Unknown routing policy", id="no policy"
        ),
        pytest.param(
            b'{"router": {"policy": "os:system", "kwargs": {"command": "true"}}}',
            "Unknown routing policy 'os:system'",
            id="a module",
        ),
    ],
)
async def test_a_session_that_can_not_be_opened_is_a_400_with_a_text(ask, controlled, body, said):
    answer = await ask("POST", "/sessions", content=body)

    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]
    assert len(controlled.sidecar.ports) == 0
    assert len(controlled.sidecar.parts.sessions.all()) == 1


@pytest.mark.parametrize("session_id", ["sess_unknown", "default", "%00", "sess_" + "0" * 32])
async def test_ending_a_session_that_is_none_is_well(ask, controlled, session_id):
    answer = await ask("DELETE", f"/sessions/{session_id}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert not controlled.sidecar.parts.sessions.default.ended


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/sessions", "POST"), ("POST", "/sessions/sess_1", "DELETE"),
        ("POST", "/health", "GET"), ("DELETE", "/records", "GET"), ("PUT", "/usage", "GET"),
        ("POST", "/cached_latency", "GET"), ("POST", "/ca", "GET"), ("GET", "/providers", "POST"),
        ("GET", "/cache/flush", "POST"), ("DELETE", "/cache/clear", "POST"),
    ],
)  # fmt: skip
async def test_another_method_is_a_405_that_names_the_right_one(ask, method, path, allowed):
    answer = await ask(method, path)

    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert allowed in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "empty"), [("/records", []), ("/usage", {}), ("/cached_latency", {"seconds": 0.0})]
)
async def test_before_any_call_there_is_nothing(ask, path, empty):
    for query in ("", "?combo_id=never", "?data_id=&combo_id=&agent_id="):
        answer = await ask("GET", f"{path}{query}")
        assert (answer.status_code, answer.json()) == (200, empty)


@pytest.mark.parametrize("path", ["/records", "/usage", "/cached_latency"])
async def test_a_journal_that_can_not_be_read_is_said_in_a_text(ask, controlled, path):
    await controlled.sidecar.journal.aclose()

    answer = await ask("GET", path)

    assert answer.status_code == 503
    assert "journal" in answer.json()["error"]


def record(number: int, session_id: str = "sess_1", data_id: str = "d") -> CallRecord:
    whose = Attribution(session_id=session_id, data_id=data_id, combo_id="c")
    return CallRecord(f"{number:032x}", number, attribution=whose, sent_model="m", status_code=200)


async def test_many_records_come_whole_and_in_their_order(ask, controlled):
    for number in range(1001):
        controlled.sidecar.journal.take(record(number, data_id=f"dp_{number}"), "")

    answer = await ask("GET", "/records?combo_id=c")

    assert answer.headers["transfer-encoding"] == "chunked"
    assert [one["data_id"] for one in answer.json()] == [f"dp_{number}" for number in range(1001)]
    (only,) = (await ask("GET", "/records?data_id=dp_7&combo_id=c")).json()
    assert only["data_id"] == "dp_7"
    assert (await ask("GET", "/records?data_id=dp_7&combo_id=other")).json() == []


async def test_records_that_can_not_be_read_to_their_end_are_no_whole_answer(controlled):
    text = json.dumps({"text": "x" * 900_000}).encode()
    for number in range(33):  # the last is read once the others have left
        kept = replace(record(number), response_body=Body(text, len(text)))
        controlled.sidecar.journal.take(kept, "")

    async with (
        httpx.AsyncClient(base_url=url_of(controlled), timeout=60) as client,
        client.stream("GET", "/records") as answer,
    ):
        pieces = answer.aiter_raw()
        assert (await anext(pieces)).startswith(b'[{"data_id"')
        await controlled.sidecar.journal.aclose()
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in pieces:
                pass


async def test_where_all_ports_are_taken_there_is_no_session_and_when_to_ask_again(open_gateway):
    async with (
        open_gateway(session_ports=2) as running,
        httpx.AsyncClient(base_url=url_of(running), timeout=60) as client,
    ):
        first, second, third = [await client.post("/sessions") for _ in range(3)]
        assert (first.status_code, second.status_code) == (200, 200)
        assert (third.status_code, third.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
        assert "REMORA_SESSION_PORTS" in third.json()["error"]
        sessions = running.sidecar.parts.sessions
        assert [one.ended for one in sessions.all()] == [False, False, False, True]

        await client.delete(f"/sessions/{first.json()['session_id']}")
        again = await client.post("/sessions")
        assert again.status_code == 200
        assert again.json()["proxy_port"] != second.json()["proxy_port"]


async def test_a_body_too_large_is_a_413_with_a_text(ask):
    answer = await ask("POST", "/sessions", content=b'{"data_id": "' + b"x" * 70_000 + b'"}')

    assert answer.status_code == 413
    assert isinstance(answer.json()["error"], str)


async def test_sessions_of_our_own_api_have_no_port(controlled):
    await controlled.call("POST", "/v1/sessions", json={"data_id": "d"})

    assert len(controlled.sidecar.ports) == 0


async def test_a_session_may_end_by_our_own_api_too(ask, controlled):
    opened = (await ask("POST", "/sessions")).json()

    assert (await ask("DELETE", f"/v1/sessions/{opened['session_id']}")).status_code == 200
    assert controlled.sidecar.parts.sessions.get(opened["session_id"]).ended


# Who may ask.


@pytest.mark.parametrize("headers", [{"Origin": "http://x"}, {"Host": "evil.example"}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/sessions"), ("DELETE", "/sessions/s"), ("GET", "/records"), ("GET", "/usage"),
        ("GET", "/cached_latency"), ("GET", "/ca"), ("GET", "/sessions"),
    ],
)  # fmt: skip
async def test_a_page_makes_no_call_of_the_protocol(ask, method, path, headers):
    answer = await ask(method, path, headers=headers)

    assert answer.status_code == 403
    assert isinstance(answer.json()["error"], str)


async def test_in_a_pod_what_changes_the_sidecar_takes_the_token(open_gateway):
    async with (
        open_gateway(pod_uid="8f1c") as running,
        httpx.AsyncClient(base_url=url_of(running), timeout=60) as client,
    ):
        provider = {"name": "x", "base_url": "http://x.example:1", "path_patterns": []}
        for path, body in (("/providers", provider), ("/cache/flush", {}), ("/cache/clear", {})):
            assert (await client.post(path, json=body)).status_code == 401
            admitted = await client.post(path, json=body, headers=running.admin)
            assert admitted.status_code == 204, path
        assert (await client.post("/sessions")).status_code == 200
        assert (await client.get("/health")).status_code == 200


async def test_in_a_pod_queries_without_the_token_cover_sessions_alone(open_gateway):
    async with (
        open_gateway(pod_uid="8f1c") as running,
        httpx.AsyncClient(base_url=url_of(running), timeout=60) as client,
    ):
        running.sidecar.journal.take(record(1, "default", "nobody's"), "")
        running.sidecar.journal.take(record(2, "sess_1", "a session's"), "")

        async def seen(**headers: str) -> list[str]:
            records = (await client.get("/records", headers=headers)).json()
            return [one["data_id"] for one in records]

        assert await seen() == ["a session's"]
        assert await seen(Authorization="Bearer sk-an-agents-key") == ["a session's"]
        assert await seen(**running.admin) == ["nobody's", "a session's"]


async def test_outside_a_pod_queries_cover_every_call(ask, controlled):
    controlled.sidecar.journal.take(record(1, "default", "nobody's"), "")

    assert [one["data_id"] for one in (await ask("GET", "/records")).json()] == ["nobody's"]


@pytest.mark.parametrize(
    ("hosts", "host", "status"),
    [
        pytest.param(frozenset({"gateway.example"}), "gateway.example:9", 200, id="a name"),
        pytest.param(frozenset({"gateway.example"}), "Gateway.Example.", 200, id="its spelling"),
        pytest.param(frozenset(), "127.0.0.1:9", 200, id="loopback"),
        pytest.param(frozenset(), "gateway.example", 403, id="no name was given"),
        pytest.param(frozenset({"gateway.example"}), "evil.example", 403, id="another"),
        pytest.param(frozenset(), "10.1.2.3", 403, id="an address it did not come to"),
        pytest.param(None, "gateway.example", 403, id="not remote"),
    ],
)
async def test_a_remote_gateway_is_called_by_the_names_it_was_started_with(
    open_gateway, hosts, host, status
):
    async with (
        open_gateway(Gateway(hosts=hosts)) as running,
        httpx.AsyncClient(base_url=url_of(running), timeout=60) as client,
    ):
        answer = await client.get("/records", headers={"Host": host})

    assert answer.status_code == status


async def test_the_default_router_is_for_those_who_say_nothing(open_gateway):
    routers = NamedRouters()
    default = routers.make("random", {"candidates": ["a"]})
    async with (
        open_gateway(Gateway(NamedRouters(default))) as running,
        httpx.AsyncClient(base_url=url_of(running), timeout=60) as client,
    ):
        found = []
        for body in ({}, {"router": None}, {"router": own("b")}):
            opened = (await client.post("/sessions", json=body)).json()
            session = running.sidecar.parts.sessions.get(opened["session_id"])
            found.append(session.router)

    assert found[0] is default
    assert found[1] is None
    assert found[2] not in (None, default)


def own(model: str) -> dict[str, Any]:
    return {"policy": "random", "kwargs": {"candidates": [model], "seed": None}}
