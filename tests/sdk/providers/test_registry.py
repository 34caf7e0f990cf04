"""Which provider a host is."""

from dataclasses import replace

import pytest
from genai_prices.data import providers as priced
from hypothesis import given
from hypothesis import strategies as st

from remora.providers import DIALECTS, ProviderRegistry
from remora.providers.hosts import HostForm, HostPattern, breadth_problem

BUILTIN = ProviderRegistry.builtin()


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("API.OpenAI.com.", "openai"),
        ("api.anthropic.com", "anthropic"),
        ("aws-external-anthropic.us-west-2.api.aws", "anthropic-aws"),
        ("bedrock-mantle.us-west-2.api.aws", "aws-bedrock"),
        ("generativelanguage.googleapis.com", "google"),
        ("cloudcode-pa.googleapis.com", "gemini-cli"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws-bedrock"),
        ("bedrock-runtime.eu-central-1.amazonaws.com", "aws-bedrock"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "aws-bedrock"),
        ("bedrock-runtime.us-gov-east-1.amazonaws.com", "aws-bedrock"),
        ("bedrock-runtime.us-east-1.api.aws", "aws-bedrock"),
        ("bedrock-runtime-fips.ca-central-1.api.aws", "aws-bedrock"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "aws-bedrock"),
        ("bedrock-runtime.cn-north-1.api.amazonwebservices.com.cn", "aws-bedrock"),
        ("bedrock-runtime.eusc-de-east-1.amazonaws.eu", "aws-bedrock"),
        ("vpce-0a1-b2c.bedrock-runtime.us-east-1.vpce.amazonaws.com", "aws-bedrock"),
        ("vpce-0a1-b2c-us-east-1a.bedrock-runtime.us-east-1.vpce.amazonaws.com", "aws-bedrock"),
        ("mine.openai.azure.com", "azure-openai"),
        ("api.mistral.ai", "mistral"),
        ("api.groq.com", "groq"),
        ("api.together.xyz", "together"),
        ("api.deepseek.com", "deepseek"),
        ("api.x.ai", "xai"),
        ("openrouter.ai", "openrouter"),
        ("api.fireworks.ai", "fireworks"),
        ("api.cohere.com", "cohere"),
    ],
)
def test_the_hosts_of_the_field_are_known(host, provider):
    found = BUILTIN.match_tls(host)
    assert found is not None
    assert found.name == provider


@pytest.mark.parametrize(
    "host",
    ["openai.com", "evil-api.openai.com.example.org", "api.openai.com.evil.example", "", "*",
     "x" * 300, "s3.us-east-1.amazonaws.com",
     "bedrock.us-east-1.amazonaws.com", "bedrock-agent-runtime.us-east-1.amazonaws.com",
     "vpce-1.s3.us-east-1.vpce.amazonaws.com",
     "bedrock-runtime.us-east-1.amazonaws.com.evil.example", "storage.googleapis.com",
     "github.com"],
)  # fmt: skip
def test_other_hosts_are_nobodys(host):
    assert BUILTIN.match_tls(host) is None


@pytest.mark.parametrize(
    ("port", "provider"), [(11434, "ollama"), (1234, "lm-studio"), (8000, "vllm"), (80, None)]
)
def test_local_servers_are_known_by_their_port(port, provider):
    found = BUILTIN.match_plain("localhost", port)
    assert (found.name if found else None) == provider


def test_every_provider_of_the_field_is_built_in():
    assert set(BUILTIN.names) == {
        "openai", "azure-openai", "anthropic", "anthropic-aws", "google", "google-vertex",
        "gemini-cli", "aws-bedrock", "mistral", "groq", "together", "fireworks", "deepseek", "xai",
        "openrouter", "cohere", "perplexity", "cerebras", "sambanova", "nvidia", "huggingface",
        "moonshot", "zai", "qwen", "minimax", "github-models", "ollama", "ollama-cloud",
        "vllm", "lm-studio",
    }  # fmt: skip


def test_a_host_that_may_be_anybodys_may_be_defined_by_anybody():
    vllm = BUILTIN.get("vllm")
    mine = replace(vllm, name="mine", built_in=False, claimed_only=False)
    assert mine.clash_with(vllm) is None
    assert BUILTIN.with_providers([mine]).match_plain("localhost", 8000) is mine


@given(st.text(max_size=300))
def test_no_host_raises(host):
    BUILTIN.match_tls(host)
    BUILTIN.match_plain(host, 80)


def test_no_two_built_in_providers_claim_one_host():
    providers = list(BUILTIN)
    clashes = [
        (one.name, other.name)
        for number, one in enumerate(providers)
        for other in providers[number + 1 :]
        if one.clash_with(other)
    ]
    assert clashes == []


def test_what_is_built_in_is_narrow_and_speaks_known_dialects():
    for provider in BUILTIN:
        assert set(provider.dialects) <= DIALECTS
        assert provider.dialects
        wide = [host.text for host in provider.hosts if breadth_problem(host)]
        # A public suffix by the list, and yet all Google's own.
        assert wide in ([], ["*-aiplatform.googleapis.com"])


def test_prices_are_looked_up_under_names_that_exist():
    known = {provider.id for provider in priced}
    assert {p.price_id for p in BUILTIN if p.price_id is not None} <= known


def test_a_registry_of_some_knows_no_others():
    only = BUILTIN.only(["openai"])
    assert only.match_tls("api.openai.com") is not None
    assert only.match_tls("api.anthropic.com") is None
    with pytest.raises(KeyError, match="nobody"):
        BUILTIN.only(["nobody"])


@pytest.mark.parametrize(
    ("pattern", "host", "matches"),
    [
        ("a.example", "a.example", True),
        ("a.example", "b.a.example", False),
        ("*.a.example", "b.a.example", True),
        ("*.a.example", "c.b.a.example", True),
        ("*.a.example", "a.example", False),
        ("*.a.example", "ba.example", False),
        ("api-*.a.example", "api-eu.a.example", True),
        ("api-*.a.example", "api-e.u.a.example", False),
    ],
)
def test_patterns_take_what_they_say(pattern, host, matches):
    assert HostPattern.parse(pattern).matches(host) is matches


@pytest.mark.parametrize(
    ("pattern", "form"),
    [
        ("a.example", HostForm.EXACT),
        ("*.a.example", HostForm.SUFFIX),
        ("x-*.a.example", HostForm.GLOB),
    ],
)
def test_patterns_have_three_forms(pattern, form):
    assert HostPattern.parse(pattern).form is form


@pytest.mark.parametrize(
    ("pattern", "wide"),
    [
        ("*.example.com", False),
        ("*.co.uk", True),
        ("*.com", True),
        ("*", True),
        ("*.github.io", True),
        ("*.mine.github.io", False),
        ("api.*.com", True),
        ("bedrock-runtime.*.amazonaws.com", False),
    ],
)
def test_no_pattern_is_wider_than_one_registrable_domain(pattern, wide):
    assert (breadth_problem(HostPattern.parse(pattern)) is not None) is wide


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "http://a", "a:80", "a/b", "-a.example", "ä.example", "x" * 254]
)
def test_what_is_no_host_is_refused(text):
    with pytest.raises(ValueError, match=r"host|ASCII"):
        HostPattern.parse(text)
