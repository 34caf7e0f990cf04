"""What policy refuses, as the official SDKs hear it through a sidecar; none of them asks again."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import anthropic
import boto3
import httpx2
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from google import genai
from google.genai import errors

from remora.testing.double_answer import json_answer

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")

MESSAGES = [{"role": "user", "content": "hi"}]
CHAT = {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 9}
CLAUDE = {"model": "claude", "messages": MESSAGES, "max_tokens": 9}
NOVA = {
    "modelId": "us.amazon.nova-lite-v1:0",
    "messages": [{"role": "user", "content": [{"text": "hi"}]}],
}
HOSTS = (
    "api.openai.com",
    "api.anthropic.com",
    "generativelanguage.googleapis.com",
    "bedrock-runtime.us-east-1.amazonaws.com",
    "api.cohere.com",
)
PROVIDERS = ("openai", "anthropic", "google", "aws-bedrock", "cohere")


@dataclass(frozen=True)
class Proxy:
    """How an SDK reaches the sidecar."""

    url: str
    ca_file: str

    @property
    def context(self):
        return ssl.create_default_context(cafile=self.ca_file)


@dataclass(frozen=True)
class Heard:
    """What an SDK made of a refusal.

    Attributes:
        raised: The SDK's exception.
        status: As the SDK tells it.
        remora: Why, if the SDK hands it on.
        text: What a person reads.
    """

    raised: type[Exception]
    status: int
    remora: Mapping[str, Any] | None
    text: str


def of_openai(proxy, ask):
    http = openai.DefaultHttpxClient(proxy=proxy.url, verify=proxy.context)
    with (
        openai.OpenAI(api_key="sk-x", http_client=http) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        ask(client)
    error = caught.value
    remora = error.response.json()["remora"]
    assert error.code == remora["code"]
    return Heard(type(error), error.status_code, remora, str(error))


def of_anthropic(proxy, ask):
    http = anthropic.DefaultHttpxClient(proxy=proxy.url, verify=proxy.context)
    with (
        anthropic.Anthropic(api_key="sk-x", http_client=http) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        ask(client)
    error = caught.value
    assert error.body["error"]["code"] == error.body["remora"]["code"]
    return Heard(type(error), error.status_code, error.body["remora"], str(error))


def of_google(proxy, ask):
    options = genai.types.HttpOptions(client_args={"proxy": proxy.url, "verify": proxy.context})
    client = genai.Client(api_key="x", http_options=options)
    with closing(client), pytest.raises(errors.APIError) as caught:
        ask(client)
    error = caught.value
    assert error.details["error"]["details"][0]["reason"] == error.details["remora"]["code"]
    return Heard(type(error), error.code, error.details["remora"], str(error))


def of_boto3(proxy, ask):
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="x",
        verify=proxy.ca_file,
        config=Config(proxies={"https": proxy.url}),
    )
    with closing(client), pytest.raises(ClientError) as caught:
        ask(client)
    error = caught.value
    assert error.response["ResponseMetadata"]["RetryAttempts"] == 0
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return Heard(type(error), status, None, str(error))


def of_httpx(proxy, ask):
    with (
        httpx2.Client(proxy=proxy.url, verify=proxy.context) as client,
        pytest.raises(httpx2.HTTPStatusError) as caught,
    ):
        ask(client).raise_for_status()
    answer = caught.value.response
    return Heard(type(caught.value), answer.status_code, answer.json()["remora"], answer.text)


SDKS: Mapping[str, Callable[[Proxy], Heard]] = {
    "openai": lambda p: of_openai(p, lambda c: c.chat.completions.create(**CHAT)),
    "openai stream": lambda p: of_openai(
        p, lambda c: c.chat.completions.create(**CHAT, stream=True)
    ),
    "anthropic": lambda p: of_anthropic(p, lambda c: c.messages.create(**CLAUDE)),
    "anthropic stream": lambda p: of_anthropic(
        p, lambda c: c.messages.create(**CLAUDE, stream=True)
    ),
    "google": lambda p: of_google(
        p, lambda c: c.models.generate_content(model="gemini-2.5-flash", contents="hi")
    ),
    "google stream": lambda p: of_google(
        p, lambda c: list(c.models.generate_content_stream(model="gemini-2.5-flash", contents="h"))
    ),
    "boto3": lambda p: of_boto3(p, lambda c: c.converse(**NOVA)),
    "boto3 stream": lambda p: of_boto3(p, lambda c: c.converse_stream(**NOVA)),
    "httpx at cohere": lambda p: of_httpx(
        p,
        lambda c: c.post(
            "https://api.cohere.com/v2/chat", json={"model": "command-r", "messages": MESSAGES}
        ),
    ),
}


@dataclass(frozen=True)
class Refused:
    """A refusal.

    Attributes:
        spec: The policy that refuses.
        status: Where the dialect's services have no status of their own for it.
        code: Stable.
        openai: Name of the class that OpenAI's SDK raises.
        anthropic: Anthropic's.
        aws: Bedrock's exception, and its status.
        said: A detail of the ``remora`` object.
        first: A call that is let go comes before.
    """

    spec: Mapping[str, Any]
    status: int
    code: str
    openai: str
    anthropic: str
    aws: tuple[str, int]
    said: Mapping[str, Any]
    first: bool = False


QUOTA, DENIED = ("ServiceQuotaExceededException", 400), ("AccessDeniedException", 403)
LIMITED, FORBIDDEN = ("RateLimitError", "RateLimitError"), ("PermissionDeniedError",) * 2
AWAY = ("InternalServerError", "ServiceUnavailableError")
NOBODY = {"policy": "random", "candidates": [{"provider": "together", "model": "m"}]}

REFUSED = {
    "a budget that is used up": Refused(
        {"budgets": [{"name": "b", "per": "pod", "maxTokens": 1, "window": "1d"}]},
        429, "BUDGET_EXCEEDED", *LIMITED, QUOTA, {"budget": "b", "per": "pod"},
    ),
    "a cap of each call": Refused(
        {"budgets": [{"name": "cap", "per": "call", "maxTokens": 1}]},
        402, "BUDGET_EXCEEDED", "APIStatusError", "PaymentRequiredError", QUOTA,
        {"budget": "cap", "per": "call", "limit": "1 tokens"},
    ),
    "a rate": Refused(
        {"rates": [{"name": "slow", "models": ["*"], "requestsPerMinute": 1}]},
        429, "RATE_LIMITED", *LIMITED, QUOTA, {"rate": "slow"}, first=True,
    ),
    "a denied model": Refused(
        {"models": {"deny": ["*"]}}, 403, "MODEL_DENIED", *FORBIDDEN, DENIED, {},
    ),
    "no task": Refused({"requireTask": True}, 403, "TASK_REQUIRED", *FORBIDDEN, DENIED, {}),
    "no candidate": Refused(
        # Without a key for it Bedrock's signed requests would be left alone.
        {
            "routes": [{"name": "r", "router": NOBODY}],
            "credentials": [
                {"provider": "aws-bedrock", "secretRef": {"name": "k", "key": "api-key"}}
            ],
        },
        503, "NO_CANDIDATE", *AWAY, DENIED, {"rule": "r"},
    ),
    "no key": Refused(
        {
            "credentials": [
                {"provider": name, "secretRef": {"name": "k", "key": "api-key"}}
                for name in PROVIDERS
            ]
        },
        503, "CREDENTIAL_MISSING", *AWAY, DENIED, {},
    ),
}  # fmt: skip


def expected(refused, sdk):
    """The exception and the status that an SDK should tell."""
    family = sdk.split()[0]
    if family == "boto3":
        return refused.aws
    google = "ClientError" if refused.status < 500 else "ServerError"
    names = {
        "openai": refused.openai,
        "anthropic": refused.anthropic,
        "google": google,
        "httpx": "HTTPStatusError",
    }
    return names[family], refused.status


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
async def test_a_refusal_is_the_sdks_own_exception_and_is_not_tried_again(ruled, tmp_path, refused):
    async with ruled(refused.spec, double={"names": HOSTS}, drain_s=0.05) as carrying:
        if refused.first:
            carrying.double.script(json_answer(b"{}"))
            agent = await carrying.agent()
            body = b'{"model":"m","messages":[]}'
            await agent.ask("POST", "/v1/chat/completions", [("Host", HOSTS[0])], body)
        host, port = carrying.sidecar.proxy
        ca_file = tmp_path / "agents-ca.pem"
        ca_file.write_text(carrying.ca_pem)
        proxy = Proxy(f"http://{host}:{port}", str(ca_file))
        heard = await asyncio.gather(*(asyncio.to_thread(ask, proxy) for ask in SDKS.values()))
        records = (await carrying.records(len(SDKS) + refused.first))[refused.first :]
        assert len(carrying.double.requests) == refused.first

    found = dict(zip(SDKS, heard, strict=True))
    told = {sdk: (one.raised.__name__, one.status) for sdk, one in found.items()}
    assert told == {sdk: expected(refused, sdk) for sdk in SDKS}
    assert {record.error.type for record in records} == {refused.code}
    assert {record.receipt.refused_by for record in records} == {refused.code}
    call_ids = {record.call_id for record in records}
    for one in found.values():
        assert "remora: " in one.text
        if one.remora is not None:
            assert one.remora["code"] == refused.code
            assert one.remora["why"] in one.text
            assert one.remora["call_id"] in call_ids
            assert refused.said.items() <= one.remora.items()
