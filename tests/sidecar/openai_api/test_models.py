"""What can be asked for is listed, and what capabilities mean can be changed."""

import json
import stat

import pytest
from tests.sidecar.openai_api.conftest import Serving

from remora.workflows.catalogue import Catalogue
from remora_sidecar.openai_api.capability_file import CapabilityFile

ONLY_4O = {"capabilities": {"vision": {"models": ["gpt-4o"]}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
LOOK = [{"role": "user", "content": [PICTURE]}]


async def listed(served: Serving, **options):
    reply = await served.ask(f"{served.base}/models", **options)
    assert reply.status == 200
    assert reply.json["object"] == "list"
    return [one["id"] for one in reply.json["data"]]


@pytest.mark.parametrize("base", ["/v1", "/api/v1"])
async def test_models_that_have_a_key_are_listed_after_auto(serve, base):
    async with serve("groq") as served:
        served.base = base
        names = await listed(served)
    of_groq = [one.model for one in Catalogue.builtin().models if one.provider == "groq"]
    assert names == ["auto", *of_groq]


async def test_a_name_that_two_providers_have_is_listed_for_each(serve):
    async with serve("groq", "cerebras", "openai", "together") as served:
        names = await listed(served)
        assert len(names) == len(set(names))
        for name in names[1:]:
            assert (await served.ask(f"/v1/models/{name}")).status == 200


async def test_what_policy_denies_is_not_listed(serve):
    async with serve("openai", models={"allow": ["gpt-4o*"]}) as served:
        names = await listed(served)
    assert "gpt-4o-mini" in names
    assert all(name.startswith("gpt-4o") for name in names[1:])


async def test_without_keys_there_is_auto_alone(serve):
    async with serve() as served:
        assert await listed(served) == ["auto"]
        assert "gpt-4o" in await listed(served, key="sk-proj-0123456789")


@pytest.mark.parametrize(
    ("name", "status", "owner"),
    [
        ("gpt-4o-mini", 200, "openai"),
        ("openai/gpt-4o-mini", 200, "openai"),
        ("kr-auto", 200, "remora"),
        ("no-such-model", 404, None),
        ("claude-haiku-4-5", 404, None),
    ],
)
async def test_one_model_can_be_looked_up(served, name, status, owner):
    reply = await served.ask(f"/v1/models/{name}")
    assert reply.status == status
    assert reply.json.get("owned_by") == owner


async def test_a_capability_can_be_given_another_meaning(served):
    token = served.admin_token()
    before = await served.chat(messages=LOOK)
    changed = await served.ask("/v1/capabilities", ONLY_4O, key=token)
    after = await served.chat(messages=LOOK)
    shown = await served.ask("/v1/capabilities")
    assert changed.status == 200
    assert before.json["remora"]["model"] != "gpt-4o"
    assert after.json["remora"]["model"] == "gpt-4o"
    assert shown.json == changed.json == ONLY_4O

    path = served.sidecar.data.path / "capabilities.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert CapabilityFile(path).view == ONLY_4O

    await served.ask("/v1/capabilities", {}, key=token)
    again = await served.chat(messages=LOOK)
    assert again.json["remora"]["model"] == before.json["remora"]["model"]


@pytest.mark.parametrize("key", ["", "kr-x", "sk-proj-x"])
async def test_only_the_owner_may_change_capabilities(served, key):
    reply = await served.ask("/v1/capabilities", ONLY_4O, key=key)
    assert reply.status == 401
    assert (await served.ask("/v1/capabilities")).json == {"capabilities": {}}


@pytest.mark.parametrize(
    "body",
    [
        {"capabilities": {"telepathy": {"models": ["*"]}}},
        {"capabilities": {"vision": {}}},
        {"vision": {"models": ["*"]}},
        b"[",
    ],
    ids=["unknown", "empty", "flat", "no json"],
)
async def test_capabilities_that_can_not_be_read_are_refused(served, body):
    reply = await served.ask("/v1/capabilities", body, key=served.admin_token())
    assert reply.status == 400
    assert (await served.ask("/v1/capabilities")).json == {"capabilities": {}}


@pytest.mark.parametrize("content", [b"", b"{", b'{"x": 1}', json.dumps([1]).encode()])
def test_a_file_that_can_not_be_read_is_said_and_changes_nothing(tmp_path, caplog, content):
    path = tmp_path / "capabilities.json"
    path.write_bytes(content)
    assert CapabilityFile(path).view == {"capabilities": {}}
    assert "POST /v1/capabilities" in caplog.text


def test_without_a_file_nothing_is_said(tmp_path, caplog):
    assert CapabilityFile(tmp_path / "none.json").view == {"capabilities": {}}
    assert caplog.text == ""
