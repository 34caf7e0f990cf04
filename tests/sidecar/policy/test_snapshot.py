"""What connections and calls ask of the policy in force."""

import json
import tracemalloc

import pytest

from remora.policy import load_documents
from remora_sidecar.policy import snapshot_from_documents

API = "apiVersion: remora.dev/v1alpha1\n"
PLAIN = (
    f"{API}kind: LLMProvider\nmetadata: {{name: in-house}}\n"
    "spec: {hosts: [llm.example.org], ports: [8000], tls: false, dialects: [openai-chat]}\n"
)


def _snapshot(text="", preset=None):
    return snapshot_from_documents(load_documents({"p.yaml": text}), {}, preset)


def test_without_policy_every_known_provider_is_terminated():
    snapshot = _snapshot()
    assert snapshot.terminates("api.openai.com")
    assert snapshot.tls_provider("api.openai.com").name == "openai"
    assert not snapshot.terminates("example.org")
    assert snapshot.opaque_allowed
    assert not snapshot.captures_bodies


def test_what_is_not_intercepted_is_not_terminated():
    snapshot = _snapshot(
        f"{API}kind: LLMPolicy\nmetadata: {{name: p}}\nspec: {{intercept: [openai]}}"
    )
    assert snapshot.terminates("api.openai.com")
    assert not snapshot.terminates("api.anthropic.com")


def test_a_plain_provider_is_taken_on_its_port_alone():
    snapshot = _snapshot(PLAIN)
    assert snapshot.takes_plain("llm.example.org", 8000)
    assert not snapshot.takes_plain("llm.example.org", 80)
    assert not snapshot.terminates("llm.example.org")


@pytest.mark.parametrize(
    ("spec", "allowed"), [("{}", True), ("{opaque: allow}", True), ("{opaque: block}", False)]
)
def test_opaque_follows_the_policy(spec, allowed):
    text = f"{API}kind: LLMPolicy\nmetadata: {{name: p}}\nspec: {spec}"
    assert _snapshot(text).opaque_allowed is allowed


def test_the_preset_captures_bodies():
    assert _snapshot(preset="tracker").captures_bodies


def test_the_view_is_json_and_names_the_version():
    snapshot = _snapshot(PLAIN)
    view = json.loads(json.dumps(snapshot.view()))
    assert view["version"] == snapshot.version
    assert "in-house" in view["intercept"]


def test_a_client_that_walks_through_names_can_not_fill_the_memory():
    snapshot = _snapshot()
    for number in range(10_000):
        assert not snapshot.terminates(f"host-{number}.example.org")
    tracemalloc.start()
    try:
        for number in range(10_000, 20_000):
            snapshot.terminates(f"host-{number}.example.org")
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 500_000  # 230,000 here; 1,050,000 if every name were kept
    assert snapshot.terminates("api.openai.com")
