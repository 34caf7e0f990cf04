"""Requests signed for AWS: as its own SDK signs them, checked by a second opinion."""

import hashlib
import hmac
import json
import logging
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.policy.limits import Credential
from remora.providers import ProviderRegistry
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer
from remora_sidecar.engine.keyed_request import keyed
from remora_sidecar.engine.keys import Key, KeyMissing
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.engine.request_body import HeldBody, PassingBody
from remora_sidecar.engine.signing import AwsKey, read_aws_key, scope_of, signed
from remora_sidecar.engine.upstream import Endpoint, Upstream, upstream_context
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.model.secret_text import SecretText

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLETOKEN=="
LASTING = AwsKey(SecretText("AKIDPOLICY"), SecretText(SECRET))
TEMPORARY = AwsKey(SecretText("ASIAPOLICY"), SecretText(SECRET), SecretText(TOKEN))
KEYS = {"lasting": LASTING, "temporary": TEMPORARY}
NOW_NS = 1_767_225_600_000_000_000

MESSAGES = [{"role": "user", "content": [{"text": "Hi"}]}]
ARN = "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.amazon.nova-lite-v1:0"
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "converse": ("converse", {"modelId": "anthropic.claude-3-v1:0", "messages": MESSAGES}),
    "converse a stream": ("converse_stream", {"modelId": ARN, "messages": MESSAGES}),
    "invoke": ("invoke_model", {"modelId": ARN, "body": b'{"a":"\xc3\xa4"}'}),
    "invoke with fields of its own": (
        "invoke_model",
        {
            "modelId": "m",
            "body": b"{}",
            "accept": "application/json",
            "contentType": "application/json",
            "guardrailIdentifier": "abcdef",
            "guardrailVersion": "1",
            "trace": "ENABLED",
        },
    ),
    "no body": (
        "get_async_invoke",
        {"invocationArn": "arn:aws:bedrock:us-east-1:000000000000:async-invoke/abc"},
    ),
    "a query": (
        "list_async_invokes",
        {"statusEquals": "Failed", "maxResults": 5, "nextToken": "a b/c=+"},
    ),
}


class _Enough(Exception):
    """The SDK has signed its request, which is all that is wanted of it."""


def _of_boto3(call: str, key: AwsKey) -> Outgoing:
    """Have the SDK make and sign a request; nothing is sent."""
    made: list[Any] = []

    def keep(request: Any, **_: Any) -> None:
        made.append(request)
        raise _Enough

    token = key.session_token.reveal() if key.session_token else None
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id=key.access_key_id.reveal(),
        aws_secret_access_key=key.secret_access_key.reveal(),
        aws_session_token=token,
    )
    client.meta.events.register("before-send.bedrock-runtime.*", keep)
    operation, arguments = CALLS[call]
    with pytest.raises(_Enough):
        getattr(client, operation)(**arguments)
    (request,) = made
    headers = [(b"Host", HOST.encode())]
    headers += [(name.encode(), _bytes(value)) for name, value in request.headers.items()]
    target = request.url.removeprefix(f"https://{HOST}")
    endpoint = Endpoint(HOST, 443, tls=True)
    return Outgoing(
        endpoint, request.method, target, headers, HeldBody(_bytes(request.body or b""))
    )


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _header(headers: Any, name: bytes) -> bytes:
    (value,) = [value for key, value in headers if key.lower() == name]
    return bytes(value)


def _signed_at(outgoing: Outgoing) -> int:
    moment = datetime.strptime(_header(outgoing.headers, b"x-amz-date").decode(), "%Y%m%dT%H%M%SZ")
    return int(moment.replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("call", CALLS)
def test_what_the_sdk_signed_comes_out_the_same_when_signed_again(call, key):
    """The same signature of the same moment: the same canonical request, to the last byte."""
    outgoing = _of_boto3(call, key)
    again = signed(outgoing, key, _signed_at(outgoing))
    assert isinstance(again, Outgoing)
    assert list(again.headers) == list(outgoing.headers)
    assert again.target == outgoing.target
    assert again.body == outgoing.body


_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)


def _is_rightly_signed(method: str, target: str, headers: Any, body: bytes, secret: str) -> bool:
    """Verify as AWS documents it ("Create a signed request"), sharing no code with botocore."""
    match = _AUTHORIZATION.fullmatch(_header(headers, b"authorization").decode())
    assert match is not None
    _, day, region, service, names, signature = match.groups()
    path, _, query = target.partition("?")
    lines = [
        method,
        quote(path, safe="/~"),
        "&".join(sorted(query.split("&"))),
        *(f"{n}:{_header(headers, n.encode()).decode().strip()}" for n in names.split(";")),
        "",
        names,
        hashlib.sha256(body).hexdigest(),
    ]  # fmt: skip
    moment = _header(headers, b"x-amz-date").decode()
    assert moment.startswith(day)
    scope = f"{day}/{region}/{service}/aws4_request"
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    return hmac.digest(key, text.encode(), "sha256").hex() == signature


@pytest.fixture
async def upstream(tmp_path: Any) -> Any:
    """A double that stands for Bedrock, and the engine's own way to it."""
    async with ProviderDouble(names=[HOST]) as double:
        ca = tmp_path / "ca.pem"
        ca.write_text(double.ca_pem)
        host, port = double.address
        context = upstream_context(ca)
        made = Upstream(context=context, connect_to=ConnectTo.parse(f"::{host}:{port}"))
        yield double, made
        await made.aclose()


DUMMY = AwsKey(SecretText("AKIDAGENT"), SecretText("dummy"), SecretText("dummy-token"))
BEDROCK = ProviderRegistry.builtin().get("aws-bedrock")
CREDENTIAL = Credential.model_validate(
    {"provider": "aws-bedrock", "secretRef": {"name": "aws", "key": "credentials"}}
)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("call", CALLS)
async def test_the_sdk_with_dummy_keys_arrives_signed_by_policys(upstream, call, key):
    double, way = upstream
    double.script(Answer(body=b"{}"))
    outgoing = _of_boto3(call, DUMMY)
    sent = keyed(
        outgoing, CREDENTIAL, BEDROCK, Key("aws-bedrock", SecretText("-"), key),
        dialect="bedrock-converse", now_unix_ns=NOW_NS,
    )  # fmt: skip
    assert isinstance(sent, Outgoing)
    assert isinstance(sent.body, HeldBody)
    connection = await way.connect(sent.endpoint)
    connection.begin(sent.head() + sent.body.content, has_answer_body=True)
    assert (await connection.answer()).message.code == 200
    connection.abort()
    (got,) = double.requests
    head = got.head
    assert _is_rightly_signed(head.method, head.target, head.headers, got.body, SECRET)
    for secret in (b"dummy", b"AKIDAGENT", SECRET.encode()):
        assert secret not in head.raw
    ours = {b"authorization", b"x-amz-date", b"x-amz-security-token"}
    assert [f for f in head.headers if f[0].lower() not in ours] == [
        f for f in outgoing.headers if f[0].lower() not in ours
    ]
    tokens = [v for n, v in head.headers if n.lower() == b"x-amz-security-token"]
    assert tokens == ([TOKEN.encode()] if key is TEMPORARY else [])


def _plain(**changed: Any) -> Outgoing:
    made: dict[str, Any] = {
        "endpoint": Endpoint(HOST, 443, tls=True),
        "method": "POST",
        "target": "/model/m/converse",
        "headers": [(b"Host", HOST.encode())],
        "body": HeldBody(b"{}"),
    }
    return Outgoing(**{**made, **changed})


def test_all_that_the_agent_signed_with_is_taken_out():
    headers = [
        (b"Host", HOST.encode()),
        (b"X-Amz-Content-SHA256", b"UNSIGNED-PAYLOAD"),
        (b"X-Amz-Security-Token", b"agent"),
        (b"x-api-key", b"agent"),
        (b"Connection", b"x-amz-date"),
        (b"X-Amz-Target", b"t"),
    ]
    target = "/m?X-Amz-Signature=agent&X-Amz-Credential=agent&a=1"
    sent = signed(_plain(headers=headers, target=target), LASTING, NOW_NS)
    assert isinstance(sent, Outgoing)
    head = sent.head()
    assert b"agent" not in head
    assert b"UNSIGNED" not in head
    assert sent.target == "/m?a=1"
    assert _header(sent.headers, b"x-amz-date") == b"20260101T000000Z"
    assert _is_rightly_signed("POST", sent.target, sent.headers, b"{}", SECRET)


SCOPES = {
    HOST: ("bedrock", "us-east-1"),
    "bedrock-runtime-fips.us-gov-west-1.amazonaws.com": ("bedrock", "us-gov-west-1"),
    "bedrock-runtime.cn-north-1.amazonaws.com.cn": ("bedrock", "cn-north-1"),
    "bedrock-runtime.cn-northwest-1.api.amazonwebservices.com.cn": ("bedrock", "cn-northwest-1"),
    "bedrock-runtime.eusc-de-east-1.amazonaws.eu": ("bedrock", "eusc-de-east-1"),
    "bedrock-agent-runtime.eu-central-1.amazonaws.com": ("bedrock", "eu-central-1"),
    "vpce-0a-b.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com": ("bedrock", "ap-southeast-2"),
    "bedrock-mantle.us-west-2.api.aws": ("bedrock-mantle", "us-west-2"),
    "aws-external-anthropic.us-west-2.api.aws": ("aws-external-anthropic", "us-west-2"),
    "bedrock.corp.example": ("bedrock", ""),
    "bedrock-runtime": ("bedrock", ""),
    "": ("bedrock", ""),
}


@pytest.mark.parametrize(("host", "scope"), SCOPES.items(), ids=SCOPES)
def test_a_host_says_what_a_signature_is_for(host, scope):
    assert scope_of(host) == scope


def _hosts() -> list[str]:
    known = [ProviderRegistry.builtin().get(name) for name in ("aws-bedrock", "anthropic-aws")]
    patterns = [pattern.text for provider in known if provider for pattern in provider.hosts]
    return [re.sub(r"^\*", "vpce-1", text).replace("*", "eu-west-1") for text in patterns]


@pytest.mark.parametrize("host", _hosts())
def test_every_known_host_that_takes_signatures_names_its_region(host):
    assert scope_of(host).region == "eu-west-1"


def test_a_host_that_names_no_region_takes_that_of_the_credentials():
    plain = _plain(endpoint=Endpoint("bedrock.corp.example", 443, tls=True))
    sent = signed(plain, AwsKey(SecretText("A"), SecretText("s"), None, "eu-west-3"), NOW_NS)
    assert isinstance(sent, Outgoing)
    assert b"/20260101/eu-west-3/bedrock/" in _header(sent.headers, b"authorization")
    refused = signed(plain, LASTING, NOW_NS)
    assert refused == "the host 'bedrock.corp.example' names no AWS region, nor do the credentials"


def test_what_can_not_be_signed_is_not_sent():
    passing = PassingBody(b"", None, None)  # type: ignore[arg-type]  # nothing reads it
    assert "larger than what is held" in str(signed(_plain(body=passing), LASTING, NOW_NS))
    assert "not UTF-8" in str(signed(_plain(target="/m\udcff"), LASTING, NOW_NS))
    made = keyed(
        _plain(body=passing), CREDENTIAL, BEDROCK, Key("aws-bedrock", SecretText("-"), LASTING),
        dialect="bedrock-converse", now_unix_ns=NOW_NS,
    )  # fmt: skip
    assert isinstance(made, KeyMissing)
    assert made.reason.startswith("the request to 'aws-bedrock' can't carry its key: its body")


_JSON = {"accessKeyId": "AKID", "secretAccessKey": SECRET, "sessionToken": TOKEN}
_INI = f"aws_access_key_id = AKID\naws_secret_access_key={SECRET}\naws_session_token ={TOKEN}\n"
SECRETS = {
    "JSON": json.dumps(_JSON),
    "JSON of the command line": json.dumps(
        {"Version": 1, **{name[0].upper() + name[1:]: value for name, value in _JSON.items()}}
    ),
    "the default profile": f"[a]\naws_access_key_id=X\naws_secret_access_key=Y\n[default]\n{_INI}",
    "the first profile": f"# made by hand\n[a]\n{_INI}[b]\naws_access_key_id=X\n",
    "a profile with a percent sign": f"[default]\n{_INI}aws_note = 100%(x)s\n",
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
def test_credentials_are_read_in_every_form_that_aws_gives_them(text):
    read = read_aws_key(text.strip())
    assert read == AwsKey(SecretText("AKID"), SecretText(SECRET), SecretText(TOKEN))
    assert SECRET not in repr(read)


def test_credentials_may_name_their_region():
    for text in (
        json.dumps({**_JSON, "region": "eu-west-1"}),
        f"[default]\n{_INI}region = eu-west-1\n",
    ):
        read = read_aws_key(text)
        assert isinstance(read, AwsKey)
        assert read.region == "eu-west-1"


@pytest.mark.parametrize("text", ["bedrock-api-key-YmVk", "ABSKQmVk+/=="])
def test_one_word_is_a_key_that_is_sent(text):
    assert read_aws_key(text) is None


BROKEN = {
    "JSON cut off": (json.dumps(_JSON)[:-5], "begins like JSON"),
    "JSON without an id": (json.dumps({"secretAccessKey": SECRET}), "accessKeyId is empty"),
    "JSON with a number": (json.dumps({**_JSON, "accessKeyId": 5}), "accessKeyId is empty"),
    "JSON too deep": ('{"a":' * 20_000, "begins like JSON"),
    "a secret of two words": (json.dumps({**_JSON, "secretAccessKey": f"{SECRET} x"}), "one word"),
    "a token of two lines": (json.dumps({**_JSON, "sessionToken": f"{SECRET}\r\nb"}), "one word"),
    "no profile": (_INI, "neither a Bedrock API key"),
    "an empty file": ("[default]", "accessKeyId is empty"),
    "a profile cut off": (f"[default\n{_INI}", "neither a Bedrock API key"),
    "no secret": ("[default]\naws_access_key_id=AKID", "secretAccessKey is empty"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), BROKEN.values(), ids=BROKEN)
def test_broken_credentials_are_told_of_without_a_word_of_them(text, problem):
    said = read_aws_key(text)
    assert isinstance(said, str)
    assert problem in said
    assert SECRET not in said


@given(st.text())
def test_no_text_raises(text):
    read_aws_key(text)


API_KEYS = {
    "Bedrock's": ("aws-bedrock", HOST, "bedrock-converse", b"Authorization", b"Bearer k-1"),
    "Bedrock's, OpenAI's form": ("aws-bedrock", "bedrock-mantle.us-east-1.api.aws", "openai-chat",
                                 b"Authorization", b"Bearer k-1"),
    "Anthropic's on AWS": ("anthropic-aws", "aws-external-anthropic.us-east-1.api.aws",
                           "anthropic-messages", b"x-api-key", b"k-1"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "host", "dialect", "field", "value"), API_KEYS.values(), ids=API_KEYS
)
def test_a_key_that_signs_nothing_is_sent_as_it_is(name, host, dialect, field, value):
    provider = ProviderRegistry.builtin().get(name)
    credential = CREDENTIAL.model_copy(update={"provider": name})
    headers = [(b"Host", host.encode()), (b"X-Amz-Date", b"20260101T000000Z")]
    plain = _plain(endpoint=Endpoint(host, 443, tls=True), headers=headers)
    assert provider is not None
    sent = keyed(
        plain, credential, provider, Key(name, SecretText("k-1")), dialect=dialect, now_unix_ns=0
    )
    assert isinstance(sent, Outgoing)
    assert list(sent.headers) == [headers[0], (field, value)]


def test_signing_writes_nothing_to_any_log(caplog):
    with caplog.at_level(logging.DEBUG):
        signed(_plain(), TEMPORARY, NOW_NS)
    for record in caplog.records:
        assert TOKEN not in record.getMessage()
        assert "canonical" not in record.getMessage().lower()
