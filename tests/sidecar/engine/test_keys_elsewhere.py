"""Nobody who writes a policy, or a request, gets a key sent anywhere but to its provider."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from remora.policy.limits import Credential
from remora.policy.provider_document import provider_of
from remora.policy.spec import LLMPolicy, LLMProvider
from remora.providers import Provider, ProviderRegistry
from remora.providers.hosts import HostPattern
from remora.testing.clock import ManualClock
from remora_sidecar.engine.keyed_request import keyed
from remora_sidecar.engine.keys import Key, KeyMissing, Keys, may_carry
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.engine.request_body import HeldBody
from remora_sidecar.engine.upstream import Endpoint
from remora_sidecar.policy.additions import provider_to_add

SECRET = "sk-nobody-may-read-this"
HOME = Endpoint("api.openai.com", 443, tls=True)
API = "remora.dev/v1alpha1"


def _credential(provider="openai", name="openai", key="api-key") -> Credential:
    secret = {"name": name, "key": key}
    return Credential.model_validate({"provider": provider, "secretRef": secret})


def _builtin(name: str) -> Provider:
    provider = ProviderRegistry.builtin().get(name)
    assert provider is not None
    return provider


def _defined(name="in-house", **spec) -> Provider:
    fields = {"hosts": ["llm.corp.example"], "dialects": ["openai-chat"], **spec}
    head = {"apiVersion": API, "kind": "LLMProvider", "metadata": {"name": name}}
    return provider_of(LLMProvider.model_validate({**head, "spec": fields}))


@pytest.fixture
def keys(tmp_path):
    for name in ("openai", "in-house"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "api-key").write_text(SECRET)
    return Keys(tmp_path, {}, ManualClock())


def _sent(keys, credential, provider, endpoint, *, headers=None, method="POST", target="/v1/x"):
    """Do what the engine does, with every check but the last one passed over."""
    key = keys.find(_credential("openai"), _builtin("openai"))
    assert isinstance(key, Key)
    host = [(b"Host", endpoint.host.encode())] if headers is None else headers
    outgoing = Outgoing(endpoint, method, target, host, HeldBody(b"{}"))
    made = keyed(
        outgoing, credential, provider, replace(key, provider=provider.name),
        dialect="openai-chat", now_unix_ns=0,
    )  # fmt: skip
    if isinstance(made, KeyMissing):
        assert SECRET not in made.reason
        return None
    assert SECRET not in repr(made)
    return made.head()


def test_a_key_goes_to_its_provider(keys):
    head = _sent(keys, _credential(), _builtin("openai"), HOME)
    assert head is not None
    assert SECRET.encode() in head


ENDPOINTS = {
    "another host": replace(HOME, host="evil.example"),
    "a host that begins so": replace(HOME, host="api.openai.com.evil.example"),
    "a host that ends so": replace(HOME, host="evilapi.openai.com"),
    "a host above": replace(HOME, host="openai.com"),
    "a host with a space": replace(HOME, host="api.openai.com evil.example"),
    "a name before an at sign": replace(HOME, host="api.openai.com@evil.example"),
    "an escape": replace(HOME, host="api.openai.com%2eevil.example"),
    "a letter that looks alike": replace(HOME, host="\u0430pi.openai.com"),
    "an address": replace(HOME, host="127.0.0.1"),
    "another provider's host": replace(HOME, host="api.groq.com"),
    "in the clear": replace(HOME, port=80, tls=False),
    "in the clear on 443": replace(HOME, tls=False),
    "another port": replace(HOME, port=8443),
    "port 80 over TLS": replace(HOME, port=80),
    "nothing": replace(HOME, host=""),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_no_key_goes_to_another_endpoint(keys, endpoint):
    assert may_carry(_credential(), _builtin("openai"), endpoint) is not None
    assert _sent(keys, _credential(), _builtin("openai"), endpoint) is None


@pytest.mark.parametrize("host", ["API.OpenAI.com", "api.openai.com.", "eu.api.openai.com"])
def test_all_spellings_of_a_providers_hosts_are_its_own(host):
    assert may_carry(_credential(), _builtin("openai"), replace(HOME, host=host)) is None


CANDIDATES = ["groq", "azure-openai", "openrouter", "ollama", "aws-bedrock"]


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_candidate_of_another_provider_does_not_inherit_the_key(keys, name):
    other = _builtin(name)
    host = next((h.text for h in other.hosts if "*" not in h.text), "x.openai.azure.com")
    endpoint = Endpoint(host, other.ports[0], other.tls)
    assert isinstance(keys.find(_credential(), other), KeyMissing)
    assert _sent(keys, _credential(), other, endpoint) is None


def test_a_provider_that_takes_the_name_has_other_hosts_and_gets_nothing(keys):
    """Documents can't define a built-in name anew; and if one did, hosts are asked as well."""
    impostor = _defined("openai", hosts=["evil.example"])
    assert _sent(keys, _credential(), impostor, HOME) is None


def test_a_provider_added_at_run_time_gets_nothing_whatever_its_name_and_host(keys):
    for url in ("https://evil.example", "https://api.openai.com"):
        added = provider_to_add("openai", url, [])
        endpoint = replace(HOME, host=added.hosts[0].text)
        assert isinstance(keys.find(_credential(), added), KeyMissing)
        assert "added at run time" in (may_carry(_credential(), added, endpoint) or "")
        assert _sent(keys, _credential(), added, endpoint) is None


def test_no_key_is_for_all_providers():
    with pytest.raises(ValidationError, match="a key is for one provider"):
        _credential("*")
    unchecked = _credential().model_copy(update={"provider": "*"})
    assert may_carry(unchecked, _builtin("openai"), HOME) is not None


@pytest.mark.parametrize("glob", ["open*", "*ai", "open?i", "[o]penai", "OPENAI", "openai,groq"])
def test_a_credentials_provider_is_a_name_and_no_pattern(glob):
    with pytest.raises(ValidationError):
        _credential(glob)
    unchecked = _credential().model_copy(update={"provider": glob})
    assert may_carry(unchecked, _builtin("openai"), HOME) is not None


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("../openai", "api-key"), ("openai/..", "api-key"), ("/etc", "passwd"), ("..", "api-key"),
        ("openai", "../openai/api-key"), ("openai", "/etc/passwd"), ("openai", "a/b"),
        ("openai", "a\0b"), ("openai", "a\n"), ("openai", ""), ("", "api-key"), ("*", "api-key"),
    ],
)  # fmt: skip
def test_a_secret_is_named_and_no_path(name, key):
    with pytest.raises(ValidationError):
        _credential(name=name, key=key)


def test_a_credential_of_a_provider_reads_only_what_it_names(keys):
    """Whether a Secret may be used for a provider at all is its label's affair, in the cluster."""
    found = keys.find(_credential("groq", "missing"), _builtin("groq"))
    assert isinstance(found, KeyMissing)


PLAIN = {"hosts": ["llm.corp.example"], "ports": [8000], "tls": False}


def test_plain_http_gets_a_key_only_where_the_provider_says_so(keys):
    endpoint = Endpoint("llm.corp.example", 8000, tls=False)
    own = _credential("in-house", "in-house")
    refused, allowed = _defined(**PLAIN), _defined(**PLAIN, allowInsecure=True)
    assert "allowInsecure: true" in (may_carry(own, refused, endpoint) or "")
    assert isinstance(keys.find(own, refused), KeyMissing)
    assert isinstance(keys.find(own, allowed), Key)
    assert _sent(keys, own, allowed, endpoint) is not None
    for other in (
        replace(endpoint, port=8001),
        replace(endpoint, tls=True),
        replace(endpoint, host="x.corp.example"),
        replace(endpoint, host="127.0.0.1"),
    ):
        assert _sent(keys, own, allowed, other) is None


def test_allow_insecure_does_not_take_tls_away():
    provider = _defined(allowInsecure=True, ports=[443, 80])
    own = _credential("in-house", "in-house")
    assert may_carry(own, provider, Endpoint("llm.corp.example", 443, tls=True)) is None
    assert may_carry(own, provider, Endpoint("llm.corp.example", 80, tls=False)) is not None


@pytest.mark.parametrize("name", ["ollama", "lm-studio", "vllm"])
def test_what_listens_on_this_machine_gets_no_key(name):
    """Anybody in the pod may listen there, the agent itself as well."""
    provider = _builtin(name)
    endpoint = Endpoint("localhost", provider.ports[0], tls=False)
    assert may_carry(_credential(name), provider, endpoint) is not None


@pytest.mark.parametrize("host", ["*", "*.com", "*.co.uk", "llm.*.example", "l*m.example"])
def test_a_provider_can_not_take_hosts_of_others_by_a_pattern(host):
    with pytest.raises(ValidationError):
        _defined(hosts=[host])


def test_hosts_below_a_suffix_are_the_providers_and_no_others():
    provider = _defined(hosts=["*.corp.example"])
    own = _credential("in-house", "in-house")
    assert provider.hosts == (HostPattern.parse("*.corp.example"),)
    assert may_carry(own, provider, Endpoint("a.b.corp.example", 443, tls=True)) is None
    for host in ("corp.example", "evilcorp.example", "corp.example.evil", ".corp.example.evil"):
        assert may_carry(own, provider, Endpoint(host, 443, tls=True)) is not None


REQUESTS = {
    "another Host": {"headers": [(b"Host", b"evil.example")]},
    "two Hosts": {"headers": [(b"Host", b"api.openai.com"), (b"host", b"evil.example")]},
    "a Host with a name in front": {"headers": [(b"Host", b"api.openai.com@evil.example")]},
    "an answer that shows the request": {"method": "TRACE"},
    "the same in small letters": {"method": "trace"},
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_an_agent_can_not_lead_a_key_astray_by_its_request(keys, request_):
    assert _sent(keys, _credential(), _builtin("openai"), HOME, **request_) is None


@pytest.mark.parametrize("host", [b"api.openai.com:443", b"API.openai.com", b"api.openai.com."])
def test_a_host_may_be_spelled_as_it_likes(keys, host):
    assert _sent(keys, _credential(), _builtin("openai"), HOME, headers=[(b"Host", host)])


def test_an_agent_can_not_have_a_key_left_out_and_its_own_kept(keys):
    headers = [
        (b"Host", b"api.openai.com"),
        (b"Connection", b"close, authorization"),
        (b"Authorization", b"Bearer sk-agent"),
        (b"x-api-key", b"sk-agent"),
    ]
    head = _sent(
        keys, _credential(), _builtin("openai"), HOME, headers=headers, target="/?key=sk-agent"
    )
    assert head is not None
    assert b"sk-agent" not in head
    assert head.count(SECRET.encode()) == 1


def test_the_key_of_one_credential_is_not_taken_for_another(keys):
    key = keys.find(_credential(), _builtin("openai"))
    assert isinstance(key, Key)
    endpoint = Endpoint("api.groq.com", 443, tls=True)
    outgoing = Outgoing(endpoint, "POST", "/", [(b"Host", b"api.groq.com")], HeldBody(b""))
    made = keyed(
        outgoing, _credential("groq"), _builtin("groq"), key, dialect="openai-chat", now_unix_ns=0
    )
    assert made == KeyMissing("the key of 'openai' is not for 'groq'")


def test_two_credentials_of_one_provider_are_refused():
    spec = {"credentials": [_credential().model_dump(by_alias=True)] * 2}
    document = {"apiVersion": API, "kind": "LLMPolicy", "metadata": {"name": "p"}, "spec": spec}
    with pytest.raises(ValidationError, match="stands more than once"):
        LLMPolicy.model_validate(document)
