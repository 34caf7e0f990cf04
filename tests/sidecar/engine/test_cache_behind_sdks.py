"""Official SDKs behind a sidecar whose cache is on: asked the same twice, they are told the same.

What an SDK adds to each call of its own accord (ids, times, numbers of the try, signatures) must
not make two equal calls different.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import boto3
import httpx2
import openai
import pytest
from botocore.config import Config
from google import genai

from remora.testing.double_answer import answer_of
from remora_sidecar.settings import format_address

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")

POLICY = """\
apiVersion: remora.dev/v1alpha1
kind: LLMPolicy
metadata: {name: cache}
spec: {cache: {mode: readwrite, sampling: true}}
"""
HOSTS = [
    "api.openai.com",
    "api.anthropic.com",
    "generativelanguage.googleapis.com",
    "bedrock-runtime.us-east-1.amazonaws.com",
]
SAID = [{"role": "user", "content": "Hi"}]


class Way:
    """How an SDK gets to the sidecar."""

    def __init__(self, carrying: Any, ca_file: str, key: str) -> None:
        """Take the sidecar, its root as a file, and whose call it is."""
        self.proxy = f"http://{format_address(carrying.sidecar.proxy)}"
        self.trust = ssl.create_default_context(cadata=carrying.ca_pem)
        self.ca_file = ca_file
        self.key = key

    def http(self) -> httpx2.Client:
        return httpx2.Client(proxy=self.proxy, verify=self.trust)


def _openai(way: Way, ask: Callable[[openai.OpenAI], Any]) -> Any:
    with way.http() as http, openai.OpenAI(api_key=way.key, http_client=http) as client:
        return ask(client)


def _chat(client: openai.OpenAI) -> Any:
    with client.chat.completions.stream(model="gpt-4o", messages=SAID) as stream:
        return stream.get_final_completion().model_dump()


def _responses(client: openai.OpenAI) -> Any:
    with client.responses.stream(model="gpt-4o", input="Hi") as stream:
        return stream.get_final_response().model_dump()


def _anthropic(way: Way) -> Any:
    with (
        way.http() as http,
        anthropic.Anthropic(api_key=way.key, http_client=http) as client,
        client.messages.stream(model="claude", max_tokens=9, messages=SAID) as stream,
    ):
        return stream.get_final_message().model_dump()


def _google(way: Way) -> Any:
    arguments = {"proxy": way.proxy, "verify": way.trust}
    options = genai.types.HttpOptions(client_args=arguments)
    client = genai.Client(api_key=way.key, http_options=options)
    try:
        chunks = list(client.models.generate_content_stream(model="gemini", contents="Hi"))
    finally:
        client.close()
    return [chunk.model_dump(exclude={"sdk_http_response"}) for chunk in chunks]


def _bedrock(way: Way, ask: Callable[[Any], Any]) -> Any:
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id=way.key,
        aws_secret_access_key="x",
        verify=way.ca_file,
        config=Config(proxies={"https": way.proxy}),
    )
    try:
        return ask(client)
    finally:
        client.close()


def _converse(client: Any) -> Any:
    said = [{"role": "user", "content": [{"text": "Hi"}]}]
    return list(client.converse_stream(modelId="nova", messages=said)["stream"])


def _invoke(client: Any) -> Any:
    return list(
        client.invoke_model_with_response_stream(modelId="nova", body=b'{"inputText":"Hi"}')["body"]
    )


SDKS: Mapping[str, tuple[str, Callable[[Way], Any]]] = {
    "openai chat": ("openai-chat", lambda way: _openai(way, _chat)),
    "openai responses": ("openai-responses", lambda way: _openai(way, _responses)),
    "anthropic": ("anthropic-messages", _anthropic),
    "google": ("gemini-generate", _google),
    "boto3 converse": ("bedrock-converse", lambda way: _bedrock(way, _converse)),
    "boto3 invoke": ("bedrock-invoke", lambda way: _bedrock(way, _invoke)),
}


@pytest.mark.parametrize(("dialect", "ask"), SDKS.values(), ids=SDKS)
async def test_an_official_sdk_that_asks_again_is_told_the_same_from_the_cache(
    carry, recorded, tmp_path, dialect, ask
):
    first_stream = next(
        one for one in recorded(dialect) if one.stream and one.expect["complete"] is True
    )
    policy, ca_file = tmp_path / "policy.yaml", tmp_path / "ca.pem"
    policy.write_text(POLICY)
    async with carry(double={"names": HOSTS}, policy=policy) as carrying:
        ca_file.write_text(carrying.ca_pem)
        carrying.double.script(*[answer_of(first_stream)] * 2)
        told = []
        for key in ("one", "one", "two"):
            told.append(await asyncio.to_thread(ask, Way(carrying, str(ca_file), key)))
            await carrying.until(lambda: carrying.sidecar.parts.tasks.idle)
        records = await carrying.records(3)
    assert told[0] == told[1] == told[2]
    assert [record.cache.result for record in records] == ["miss", "hit", "miss"]
    assert records[1].usage == records[0].usage
    assert carrying.double.scripts_left == 0
