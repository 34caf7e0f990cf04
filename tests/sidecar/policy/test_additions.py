"""Which providers may be added while the sidecar runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.policy import load_documents
from remora.providers.hosts import HostPattern
from remora_sidecar.policy import snapshot_from_documents
from remora_sidecar.policy.additions import (
    MAX_ADDED,
    addition_problem,
    is_known,
    provider_to_add,
)

API = "apiVersion: remora.dev/v1alpha1\n"
DEFINED = (
    f"{API}kind: LLMProvider\nmetadata: {{name: in-house}}\n"
    "spec: {hosts: [llm.example.org], dialects: [openai-chat]}\n"
)


def _snapshot(text=""):
    return snapshot_from_documents(load_documents({"p.yaml": text}), {})


def _anything(host):
    return True


def _problem(name, url, snapshot=None, may_sign=_anything):
    provider = provider_to_add(name, url, ["/chat"])
    return addition_problem(provider, snapshot or _snapshot(), may_sign)


def test_a_host_of_its_own_is_added_whole():
    provider = provider_to_add("mine", "https://llm.example.com/api/v2/", ["/generate"])
    snapshot = _snapshot()
    grown = snapshot.with_added(provider)
    assert grown.tls_provider("llm.example.com") is provider
    assert grown.added == (provider,)
    assert provider.base_paths["openai-chat"] == "/api/v2"
    assert provider.run_time
    assert not provider.built_in
    assert not snapshot.terminates("llm.example.com"), "the old snapshot is as it was"


def test_plain_http_is_taken_on_the_port_of_the_url():
    grown = _snapshot().with_added(provider_to_add("mine", "http://127.0.0.1:8123", []))
    assert grown.takes_plain("127.0.0.1", 8123)
    assert not grown.takes_plain("127.0.0.1", 8124)


def test_another_addition_of_a_name_replaces_it():
    first, second = (provider_to_add("mine", f"http://10.0.0.{n}", []) for n in (1, 2))
    grown = _snapshot().with_added(first).with_added(second)
    assert grown.added == (second,)
    assert not grown.takes_plain("10.0.0.1", 80)


@pytest.mark.parametrize(
    ("name", "url", "says"),
    [
        pytest.param("openai", "https://llm.example.com", "can't be replaced", id="built-in name"),
        pytest.param("in-house", "https://x.example.com", "can't be replaced", id="defined name"),
        pytest.param("x", "https://api.openai.com", "'openai'", id="built-in host"),
        pytest.param("x", "http://api.openai.com", "'openai'", id="built-in host in the clear"),
        pytest.param("x", "https://mine.openai.azure.com", "'azure-openai'", id="below a suffix"),
        pytest.param("x", "https://*.openai.com", "'openai'", id="suffix over a built-in host"),
        pytest.param("x", "https://llm.example.org", "'in-house'", id="defined host"),
        pytest.param("x", "https://*.example.org", "'in-house'", id="suffix over a defined host"),
        pytest.param("x", "http://localhost:11434", "'ollama'", id="built-in port"),
    ],
)
def test_nothing_that_is_there_is_taken_over(name, url, says):
    assert says in _problem(name, url, _snapshot(DEFINED))


def test_what_policy_does_not_intercept_can_not_be_taken_over_either():
    text = f"{API}kind: LLMPolicy\nmetadata: {{name: p}}\nspec: {{intercept: [openai]}}"
    assert "'anthropic'" in _problem("x", "https://api.anthropic.com", _snapshot(text))


def test_two_additions_do_not_share_a_host():
    grown = _snapshot().with_added(provider_to_add("one", "https://llm.example.com", []))
    assert "'one'" in _problem("two", "https://llm.example.com", grown)
    assert _problem("one", "https://llm.example.com/v2", grown) is None


def test_the_port_of_nobody_in_particular_may_be_added():
    assert _problem("my-vllm", "http://localhost:8000") is None


def test_a_host_outside_the_certificate_names_the_way_to_add_it():
    problem = _problem("x", "https://llm.example.com", may_sign=lambda host: False)
    assert "LLMProvider" in problem
    assert _problem("x", "http://llm.example.com", may_sign=lambda host: False) is None


def test_additions_are_bounded():
    many = [provider_to_add(f"p{n}", f"http://10.0.0.1:{n + 1}", []) for n in range(MAX_ADDED)]
    grown = _snapshot().with_added(*many)
    assert str(MAX_ADDED) in _problem("one-more", "http://10.0.0.2", grown)
    assert _problem("p3", "http://10.0.0.9", grown) is None


@pytest.mark.parametrize(
    ("name", "url", "known"),
    [
        ("openai", "https://api.openai.com", True),
        ("openai", "https://api.openai.com/v1", True),
        ("ollama", "http://localhost:11434", True),
        ("openai", "https://llm.example.com", False),
        ("other", "https://api.openai.com", False),
        ("ollama", "http://localhost:1", False),
    ],
)
def test_what_is_so_already_is_no_addition(name, url, known):
    assert is_known(provider_to_add(name, url, []), _snapshot()) is known


def test_an_addition_made_again_changes_nothing():
    provider = provider_to_add("mine", "https://llm.example.com", ["/a"])
    grown = _snapshot().with_added(provider)
    assert is_known(provider_to_add("mine", "https://llm.example.com", ["/a"]), grown)
    assert not is_known(provider_to_add("mine", "https://llm.example.com", ["/b"]), grown)


@pytest.mark.parametrize(
    "url",
    [
        "", "llm.example.com", "ftp://llm.example.com", "https://", "https://*", "https://*.com",
        "https://*.co.uk", "https://api.*.example.com", "https://127.0.0.1", "https://[::1]",
        "https://user:key@llm.example.com", "https://llm.example.com?key=1",
        "https://llm.example.com/#x", "https://llm.example.com:99999", "https://[::1",
        "https://a b.example.com", "https://llm.example.com:x",
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_provider_is_refused(url):
    with pytest.raises(ValueError, match=r"."):
        provider_to_add("x", url, [])


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-z0-9.*:\[\]-]{0,30}"))
def test_any_text_gives_a_provider_or_a_value_error(url):
    try:
        provider = provider_to_add("x", url, [])
    except ValueError:
        return
    assert provider.hosts == (HostPattern.parse(provider.hosts[0].text),)
    addition_problem(provider, _snapshot(), _anything)
