"""Answers that the sidecars of a namespace share, through a real Redis."""

import json
import secrets

import pytest
from pydantic import SecretStr

from remora.testing.double_answer import json_answer
from remora.testing.redis_server import WHY_NOT, redis_server

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

HOST = ("Host", "api.openai.com")
KEY = ("Authorization", "Bearer sk-one")
ASKED = b'{"model":"gpt-4o-mini","messages":[],"temperature":0}'
ANSWER = json_answer(
    json.dumps(
        {
            "id": "c-1",
            "model": "gpt-4o-mini",
            "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 2},
        }
    ).encode()
)


@pytest.fixture
def sharing(carry, tmp_path):
    """Give what starts a sidecar of a namespace, with a data directory of its own."""
    key = tmp_path / "key"
    key.write_text(secrets.token_urlsafe(48))
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        json.dumps(
            {
                "apiVersion": "remora.dev/v1alpha1",
                "kind": "LLMPolicy",
                "metadata": {"name": "p"},
                "spec": {"cache": {"mode": "readwrite", "scope": "namespace"}},
            }
        )
    )

    def start(socket, name, *, namespace="team-a"):
        return carry(
            policy=policy,
            data_dir=tmp_path / name,
            namespace=namespace,
            cache_key_file=key,
            cache_url=SecretStr(f"unix://{socket}"),
        )

    return start


@pytest.fixture
def socket(tmp_path_factory):
    return tmp_path_factory.mktemp("redis") / "s"


async def _ask(carrying):
    agent = await carrying.agent()
    return await agent.ask("POST", "/v1/chat/completions", [HOST, KEY], ASKED)


@pytest.mark.parametrize(
    ("namespace", "verdict"), [("team-a", "hit"), ("team-b", "miss")], ids=["same", "other"]
)
async def test_a_sidecar_serves_what_another_of_its_namespace_kept(
    sharing, socket, namespace, verdict
):
    with redis_server(socket):
        async with sharing(socket, "one") as first:
            first.double.script(ANSWER)
            await _ask(first)
            stats = first.sidecar.parts.caching.levels.stats
            await first.until(lambda: stats()["shared"].misses)
            await first.until(lambda: first.sidecar.parts.tasks.idle)
        async with sharing(socket, "two", namespace=namespace) as second:
            second.double.script(ANSWER)
            answer = await _ask(second)
            assert answer.header("remora-cache").partition(";")[0] == verdict
            assert len(second.double.requests) == (verdict == "miss")


async def test_without_redis_calls_go_on(sharing, socket):
    async with sharing(socket, "one") as carrying:
        carrying.double.script(ANSWER)
        answers = [await _ask(carrying) for _ in range(2)]
        assert {answer.status for answer in answers} == {200}
        assert len(carrying.double.requests) == 1, "its own levels still serve"
