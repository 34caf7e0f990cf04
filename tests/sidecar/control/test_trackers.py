"""Trackers over the control listener: who they are, what they hold, what they may ask for."""

import asyncio
import json

import aiohttp
import pytest

from remora.trust import BUNDLE_FILE, CA_FILE, TRUSTSTORE_FILE
from remora_proto.v1 import journal_pb2 as pb
from remora_sidecar.control.trackers import PROTOBUF
from remora_sidecar.settings import format_address

CHAT = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()


async def opened(controlled):
    status, tracker = await controlled.call("POST", "/v1/trackers")
    assert status == 201
    return tracker


async def session_of(controlled, tracker, **fields):
    body = {"tracker_id": tracker["tracker_id"], **fields}
    status, session = await controlled.call("POST", "/v1/sessions", json=body)
    assert status == 201
    return session["session_id"]


async def called(controlled, session_id):
    agent = await controlled.agent(user=session_id)
    await agent.ask("POST", "/v1/chat/completions", [("Host", "api.openai.com")], CHAT)
    agent.abort()


def url(controlled, path):
    return f"http://{format_address(controlled.sidecar.control)}{path}"


async def test_a_tracker_is_told_all_that_it_needs(controlled):
    tracker = await opened(controlled)
    assert tracker["tracker_id"].startswith("trk_")
    assert tracker["ca_pem"].encode() == controlled.sidecar.authority.root_pem
    assert tracker["proxy"] == format_address(controlled.sidecar.proxy)
    hosts = [host for provider in tracker["providers"] for host in provider["hosts"]]
    assert "api.openai.com" in hosts
    _, again = await controlled.call("GET", f"/v1/trackers/{tracker['tracker_id']}/providers")
    assert again["providers_version"] == tracker["providers_version"]


async def test_the_list_of_providers_has_a_new_version_once_it_changes(controlled):
    tracker = await opened(controlled)
    body = {"name": "mine", "base_url": "http://mine.example:8000/v1", "path_patterns": []}
    async with controlled.client.post(url(controlled, "/providers"), json=body) as answer:
        assert answer.status == 204
    _, told = await controlled.call("GET", f"/v1/trackers/{tracker['tracker_id']}/providers")
    assert told["providers_version"] != tracker["providers_version"]
    assert {"hosts": ["mine.example"], "ports": [8000], "tls": False} in told["providers"]


async def test_an_opened_session_says_which_providers_its_tracker_should_know(controlled):
    tracker = await opened(controlled)
    body = {"tracker_id": tracker["tracker_id"]}
    _, session = await controlled.call("POST", "/v1/sessions", json=body)
    assert session["providers_version"] == tracker["providers_version"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"tracker_id": "trk_none"}, 404, "UNKNOWN_TRACKER"),
        ({"router": True}, 400, "BAD_REQUEST"),
        ({"cache": "perhaps"}, 400, "BAD_REQUEST"),
    ],
    ids=["unknown tracker", "router without one", "no boolean"],
)
async def test_sessions_that_can_not_be_opened_say_why(controlled, body, status, code):
    found, answer = await controlled.call("POST", "/v1/sessions", json=body)
    assert (found, answer["error"]["code"]) == (status, code)


@pytest.mark.parametrize("what", ["hold", "router", "providers"])
async def test_an_unknown_tracker_is_refused(controlled, what):
    status, answer = await controlled.call("GET", f"/v1/trackers/trk_none/{what}")
    assert (status, answer["error"]["code"]) == (404, "UNKNOWN_TRACKER")


async def test_a_tracker_asks_for_the_records_of_its_own_sessions(controlled):
    mine, others = await opened(controlled), await opened(controlled)
    session_id = await session_of(controlled, mine, data_id="a")
    await called(controlled, session_id)
    await called(controlled, await session_of(controlled, others))
    await called(controlled, "")
    path = f"/v1/trackers/{mine['tracker_id']}/records"
    status, page = await controlled.call("GET", path)
    assert status == 200
    (call,) = page["calls"]
    assert call["record"]["attribution"]["session_id"] == session_id
    _, later = await controlled.call("GET", f"{path}?after={page['last_change']}")
    assert later.get("calls", []) == []
    _, filtered = await controlled.call("GET", f"{path}?data_id=b")
    assert filtered.get("calls", []) == []
    headers = {"Accept": PROTOBUF}
    async with controlled.client.get(url(controlled, path), headers=headers) as answer:
        binary = pb.JournalPage.FromString(await answer.read())
    assert [kept.record.call_id for kept in binary.calls] == [call["record"]["call_id"]]
    _, usage = await controlled.call("GET", f"/v1/trackers/{mine['tracker_id']}/usage")
    assert list(usage["models"]) == ["gpt-4o"]


async def test_records_can_be_forgotten(controlled):
    tracker = await opened(controlled)
    await called(controlled, await session_of(controlled, tracker))
    path = f"/v1/trackers/{tracker['tracker_id']}/records"
    async with controlled.client.delete(url(controlled, path)) as answer:
        assert answer.status == 204
    _, page = await controlled.call("GET", path)
    assert page.get("calls", []) == []


async def test_a_number_that_is_none_is_refused(controlled):
    status, _ = await controlled.call("GET", "/v1/trackers/trk_1/records?after=x")
    assert status == 400


async def test_sessions_end_with_the_connection_that_holds_their_tracker(controlled):
    tracker = await opened(controlled)
    session_id = await session_of(controlled, tracker)
    hold = url(controlled, f"/v1/trackers/{tracker['tracker_id']}/hold")
    async with aiohttp.ClientSession() as holder, holder.get(hold) as held:
        assert await held.content.readline() == b"held\n"
        _, session = await controlled.call("GET", f"/v1/sessions/{session_id}")
        assert not session["ended"]
    async with asyncio.timeout(30):
        while not (await controlled.call("GET", f"/v1/sessions/{session_id}"))[1]["ended"]:
            pass  # each look is a call, and the sidecar's turn
    status, _ = await controlled.call("GET", f"/v1/trackers/{tracker['tracker_id']}/providers")
    assert status == 404


@pytest.mark.parametrize("name", [CA_FILE, BUNDLE_FILE, TRUSTSTORE_FILE])
async def test_trust_files_are_given_to_programs_elsewhere(controlled, name):
    async with controlled.client.get(url(controlled, f"/v1/trust/{name}")) as answer:
        assert await answer.read() == (controlled.sidecar.settings.trust_folder / name).read_bytes()


@pytest.mark.parametrize("name", ["ca.key", "..%2Fca-key.pem", "admin-token"])
async def test_no_other_file_is_given(controlled, name):
    async with controlled.client.get(url(controlled, f"/v1/trust/{name}")) as answer:
        assert answer.status == 404
