"""A request as it goes to another model or provider: what changes, and that nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.providers import Provider, ProviderRegistry
from remora.providers.hosts import HostPattern
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.engine.leg import Leg, leg_to
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.engine.request_body import HeldBody
from remora_sidecar.engine.target import Target
from remora_sidecar.engine.upstream import Endpoint
from remora_sidecar.model.exchange import RequestHead

REGISTRY = ProviderRegistry.builtin()
VLLM = Provider(
    name="vllm",
    hosts=(HostPattern.parse("vllm.example"),),
    ports=(8000,),
    tls=False,
    dialects=("openai-chat",),
    base_paths={"openai-chat": "/v1"},
)
BODY = b'{"temperature":1, "model" : "gpt-4o","messages":[] }'
HEADERS = (
    (b"Host", b"api.openai.com"),
    (b"X-First", b"1"),
    (b"OpenAI-Organization", b"org-agent"),
    (b"openai-project", b"proj"),
    (b"Cookie", b"__cf_bm=of-this-host"),
    (b"x-goog-user-project", b"p"),
    (b"X-First", b"2"),
    (b"User-Agent", b"agent/1.0"),
)
CHAT = "/v1/chat/completions"


def own_leg(
    dialect="openai-chat",
    *,
    provider="openai",
    host="api.openai.com",
    path=CHAT,
    query="",
    body=BODY,
    headers=HEADERS,
):
    head = RequestHead("POST", host, path, query, headers)
    origin_form = f"{path}?{query}" if query else path
    request = DIALECTS[dialect].read_request(head, body)
    target = Target("https", host, 443, origin_form)
    return Leg(REGISTRY.get(provider), target, head, request, body)


def to(own, provider, model, dialect="openai-chat"):
    found = provider if isinstance(provider, Provider) else REGISTRY.get(provider)
    return leg_to(own, DIALECTS[dialect], found, model)


def test_what_the_call_asked_for_is_its_own_request():
    own = own_leg()
    leg = to(own, "openai", "gpt-4o")
    assert leg == own
    assert not leg.changes_body


def test_another_model_of_the_same_provider_changes_the_model_alone():
    own = own_leg(query="a=b")
    leg = to(own, "openai", "o1")
    assert leg.body == BODY.replace(b'"gpt-4o"', b'"o1"')
    assert leg.model == "o1"
    assert leg.changes_body
    assert (leg.head, leg.target) == (own.head, own.target)


MOVED = {
    "to Groq": ("groq", "https", "api.groq.com", 443, "/openai/v1/chat/completions"),
    "to DeepSeek": ("deepseek", "https", "api.deepseek.com", 443, "/chat/completions"),
    "to a local server": (VLLM, "http", "vllm.example", 8000, CHAT),
}


@pytest.mark.parametrize(
    ("provider", *("scheme", "host", "port", "path")), MOVED.values(), ids=MOVED
)
def test_another_provider_gets_its_own_address(provider, scheme, host, port, path):
    leg = to(own_leg(query="a=b"), provider, "m")
    assert leg.target == Target(scheme, host, port, f"{path}?a=b")
    assert (leg.head.host, leg.head.path) == (host, path)
    assert leg.body == BODY.replace(b'"gpt-4o"', b'"m"')
    hosts = [value for name, value in leg.head.headers if name == b"Host"]
    assert hosts == [leg.target.authority.encode()]


def test_another_provider_is_told_nothing_of_the_first_ones_account():
    leg = to(own_leg(), "groq", "m")
    assert leg.head.headers == [
        (b"Host", b"api.groq.com"),
        (b"X-First", b"1"),
        (b"X-First", b"2"),
        (b"User-Agent", b"agent/1.0"),
    ]


@given(st.lists(st.tuples(st.sampled_from([b"A", b"b", b"X-C"]), st.binary(max_size=5))))
def test_all_other_fields_keep_their_order_and_values(fields):
    own = own_leg(headers=[(b"host", b"api.openai.com"), *fields])
    assert to(own, "openai", "o1").head.headers is own.head.headers
    assert to(own, "groq", "m").head.headers == [(b"host", b"api.groq.com"), *fields]


DEPLOYMENT = "/openai/deployments/gpt-4o/chat/completions"
DATED = "api-version=2024-06-01"
GEMINI = "/v1beta/models/gemini-2.5-pro:streamGenerateContent"
CONVERSE = "/model/us.amazon.nova-pro-v1%3A0/converse-stream"
IN_PATHS = {
    "an Azure deployment": (
        ("openai-chat", "azure-openai", DEPLOYMENT, DATED),
        ("azure-openai", "mini", f"{DEPLOYMENT.replace('gpt-4o', 'mini')}?{DATED}"),
    ),
    "an Azure deployment sent to OpenAI": (
        ("openai-chat", "azure-openai", DEPLOYMENT, f"{DATED}&a=b"),
        ("openai", "gpt-4o-mini", "/v1/chat/completions?a=b"),
    ),
    "a Gemini model": (
        ("gemini-generate", "google", GEMINI, "alt=sse"),
        ("google", "gemini-2.5-flash", f"{GEMINI.replace('pro', 'flash')}?alt=sse"),
    ),
    "a Bedrock model": (
        ("bedrock-converse", "aws-bedrock", CONVERSE, ""),
        ("aws-bedrock", "us.amazon.nova-lite-v1:0", CONVERSE.replace("pro", "lite")),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("own", "sent"), IN_PATHS.values(), ids=IN_PATHS)
def test_a_model_in_the_address_is_asked_for_in_the_address(own, sent):
    dialect, provider, path, query = own
    to_provider, model, origin_form = sent
    leg = to(
        own_leg(dialect, provider=provider, host="h.example", path=path, query=query),
        to_provider,
        model,
        dialect,
    )
    assert leg.target.origin_form == origin_form
    assert (leg.model, leg.request.stream) == (model, "tream" in path)
    stays = provider == to_provider
    assert (leg.body == BODY, leg.head.host == "h.example") == (stays, stays)


def test_a_bedrock_call_is_priced_by_the_model_that_is_asked():
    own = own_leg("bedrock-converse", provider="aws-bedrock", path=CONVERSE)
    leg = to(own, "aws-bedrock", "us.amazon.nova-lite-v1:0", "bedrock-converse")
    assert "lite" in leg.request.priced_model


UNASKABLE = {
    "a body that is no JSON": (own_leg(body=b"--form"), "openai", "o1"),
    "a body without its end": (own_leg(body=b'{"model":"gpt-4o"'), "openai", "o1"),
    "a path that nobody knows elsewhere": (own_leg(path="/my/gateway"), "groq", "m"),
    "a provider that does not speak the dialect": (own_leg(), "aws-bedrock", "m"),
}


@pytest.mark.parametrize(("own", "provider", "model"), UNASKABLE.values(), ids=UNASKABLE)
def test_what_can_not_be_asked_for_is_no_leg(own, provider, model):
    leg = to(own, provider, model)
    assert leg is None or provider == "aws-bedrock"


def test_what_goes_out_is_the_agents_request_but_for_what_the_leg_changes():
    held = HeldBody(BODY)
    asked = Outgoing(Endpoint("api.openai.com", 443, True), "POST", CHAT, HEADERS, held)
    own = own_leg()

    assert own.outgoing(asked) == asked
    assert own.outgoing(asked).body is held
    changed = to(own, VLLM, "m").outgoing(asked)
    assert changed.endpoint == Endpoint("vllm.example", 8000, False)
    assert changed.body.content == BODY.replace(b'"gpt-4o"', b'"m"')
    assert changed.method == "POST"


def test_a_body_that_stays_the_same_is_not_written_anew():
    own = own_leg(body=BODY.replace(b"gpt-4o", b"m"))
    assert not to(own, "groq", "m").changes_body


def test_a_leg_knows_by_which_dialect_it_was_read_only_through_its_request():
    own = own_leg()
    leg = to(own, "openai", "o1")
    assert leg.request == own.request._replace(model="o1")
