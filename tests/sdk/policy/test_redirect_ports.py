"""Which ports must reach the sidecar."""

import pytest

from remora.policy import effective_policy, load_documents, redirect_ports

API = "apiVersion: remora.dev/v1alpha1\n"


def _ports(*specs, intercept=None):
    documents = [
        f"{API}kind: LLMProvider\nmetadata: {{name: p{n}}}\nspec: {spec}\n"
        for n, spec in enumerate(specs)
    ]
    if intercept is not None:
        documents.append(
            f"{API}kind: LLMPolicy\nmetadata: {{name: p}}\nspec: {{intercept: {intercept}}}\n"
        )
    loaded = load_documents({"p.yaml": "---\n".join(documents)})
    return redirect_ports(effective_policy(loaded, {}))


@pytest.mark.parametrize(
    ("spec", "ports"),
    [
        ("{hosts: [a.example.net], ports: [8000], tls: false, dialects: [openai-chat]}", (8000,)),
        ("{hosts: [a.example.net], dialects: [openai-chat]}", ()),
        ("{hosts: [a.example.net], tls: false, dialects: [openai-chat]}", (80,)),
        ("{hosts: [10.0.0.7], ports: [9, 7], tls: false, dialects: [openai-chat]}", (7, 9)),
        ("{hosts: [localhost], ports: [9], tls: false, dialects: [openai-chat]}", ()),
        ("{hosts: [127.0.0.9], ports: [9], tls: false, dialects: [openai-chat]}", ()),
        ("{hosts: [localhost, b.example.net], ports: [9], tls: false, dialects: [openai-chat]}",
         (9,)),
    ],
)  # fmt: skip
def test_each_provider_off_this_machine_adds_its_ports(spec, ports):
    assert _ports(spec) == tuple(sorted({443, *ports}))


def test_local_servers_that_are_built_in_need_no_redirect():
    assert _ports() == (443,)
    assert _ports(intercept="[ollama]") == ()


def test_what_is_not_intercepted_needs_no_redirect():
    spec = "{hosts: [a.example.net], ports: [8000], tls: false, dialects: [openai-chat]}"
    assert _ports(spec, intercept="[openai]") == (443,)
    assert _ports(spec, intercept="[p0]") == (8000,)
