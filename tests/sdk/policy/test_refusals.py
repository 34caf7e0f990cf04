"""What users are told of what they may not write: every message, word by word."""

import pytest

from remora.errors import ConfigError
from remora.policy import load_documents
from remora.providers import DIALECTS

HEAD = "apiVersion: remora.dev/v1alpha1\nkind: LLMPolicy\nmetadata: {name: p}\n"
PROVIDER = "apiVersion: remora.dev/v1alpha1\nkind: LLMProvider\nmetadata: {name: mine}\n"

REFUSALS = {
    "an unknown field": (
        HEAD + "spec: {capure: full}",
        [
            "policy.yaml:4:8 spec.capure: unknown field; did you mean 'capture'?",
        ],
    ),
    "a value that is none of the choices": (
        HEAD + "spec: {capture: everything}",
        [
            "policy.yaml:4:8 spec.capture: should be 'metadata', 'redacted' or 'full'",
        ],
    ),
    "opaque": (
        HEAD + "spec: {opaque: maybe}",
        [
            "policy.yaml:4:8 spec.opaque: should be 'allow' or 'block'",
        ],
    ),
    "a provider nobody knows": (
        HEAD + "spec: {intercept: [opnai]}",
        [
            "policy.yaml:4:20 spec.intercept[0]: no provider 'opnai'; did you mean 'openai'?",
        ],
    ),
    "a name given twice in a list": (
        HEAD + "spec: {intercept: [openai, openai]}",
        [
            "policy.yaml:4:1 spec: intercept: 'openai' stands more than once",
        ],
    ),
    "text for a list": (
        HEAD + "spec: {intercept: openai}",
        [
            "policy.yaml:4:8 spec.intercept: should be a list",
        ],
    ),
    "text for a number": (
        HEAD + "spec: {priority: high}",
        [
            "policy.yaml:4:8 spec.priority: should be a whole number",
        ],
    ),
    "a number for text": (
        HEAD + "spec: {selector: {matchLabels: {app: 1}}}",
        [
            "policy.yaml:4:33 spec.selector.matchLabels.app: should be text; put "
            "quotes around it if it looks like something else",
        ],
    ),
    "a price without its figures": (
        PROVIDER + "spec: {hosts: [a.example], dialects: [openai-chat], prices: [{model: m}]}",
        [
            "policy.yaml:4:62 spec.prices[0].inputPerMillionUSD: is required",
            "policy.yaml:4:62 spec.prices[0].outputPerMillionUSD: is required",
        ],
    ),
    "a goal of a router that learns nothing": (
        HEAD
        + "spec: {routes: [{name: r, router: {policy: random, goal: g, risk: low, "
        + "candidates: [{model: m}]}}]}",
        [
            "policy.yaml:4:27 spec.routes[0].router: goal and risk: taken by policy: learned only",
        ],
    ),
    "candidates that could not be told apart": (
        HEAD
        + "spec: {routes: [{name: r, router: {policy: learned, "
        + "candidates: [{model: m}, {model: m}]}}]}",
        [
            "policy.yaml:4:27 spec.routes[0].router: candidates: 'm' stands more than once with "
            "the same parameters, and nothing could be learned of one that does not hold for the "
            "other",
        ],
    ),
    "a parameter that is the candidate's model": (
        HEAD
        + "spec: {routes: [{name: r, router: {policy: random, "
        + "candidates: [{model: m, parameters: {model: n}}]}}]}",
        [
            "policy.yaml:4:76 spec.routes[0].router.candidates[0].parameters: 'model' can't be set"
            ": the model is the candidate's own, and whether an answer is streamed is the agent's "
            "to say",
        ],
    ),
    "a field given twice": (
        HEAD + "spec: {capture: full, capture: full}",
        [
            "policy.yaml:4:23 spec.capture: stands twice",
        ],
    ),
    "another version": (
        HEAD.replace("v1alpha1", "v9"),
        [
            "policy.yaml:1:1 apiVersion: should be remora.dev/v1alpha1",
        ],
    ),
    "another kind": (
        HEAD.replace("LLMPolicy", "LLMPolcy"),
        [
            "policy.yaml:2:1 kind: not a kind of policy document; did you mean 'LLMPolicy'?",
        ],
    ),
    "no name": (
        HEAD.replace("{name: p}", "{}"),
        [
            "policy.yaml:3:1 metadata.name: is required",
        ],
    ),
    "a malformed name": (
        HEAD.replace("name: p", "name: Not_OK"),
        [
            "policy.yaml:3:12 metadata.name: should match pattern "
            "'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'",
        ],
    ),
    "a misspelt header": (
        HEAD.replace("metadata", "metdata"),
        [
            "policy.yaml:1:1 metadata: is required",
            "policy.yaml:3:1 metdata: unknown field; did you mean 'metadata'?",
        ],
    ),
    "text for a document": (
        "just text",
        [
            "policy.yaml:1:1: a document should be a mapping of fields",
        ],
    ),
    "a list for a document": (
        "- a\n- b\n",
        [
            "policy.yaml:1:1: a document should be a mapping of fields",
        ],
    ),
    "a list without end": (
        "a: [1, 2\n",
        [
            "policy.yaml:2:1: not YAML: expected ',' or ']', but got '<stream end>'",
        ],
    ),
    "a tab": (
        "a:\n\t- b\n",
        [
            "policy.yaml:2:1: not YAML: a tab can't indent or begin a value: use spaces",
        ],
    ),
    "a merge key": (
        HEAD + "spec: {<<: {capture: full}}",
        [
            "policy.yaml:4:8 spec: '<<' is not supported: write the fields out",
        ],
    ),
    "a built-in host": (
        PROVIDER + "spec: {hosts: [api.openai.com], dialects: [openai-chat]}",
        [
            "policy.yaml:4:16 spec.hosts[0]: 'api.openai.com' is or holds a host "
            "of the built-in provider 'openai'",
        ],
    ),
    "a pattern over a built-in host": (
        PROVIDER + "spec: {hosts: ['*.openai.com'], dialects: [openai-chat]}",
        [
            "policy.yaml:4:16 spec.hosts[0]: '*.openai.com' is or holds a host of "
            "the built-in provider 'openai'",
        ],
    ),
    "a public suffix": (
        PROVIDER + "spec: {hosts: ['*.co.uk'], dialects: [openai-chat]}",
        [
            "policy.yaml:4:16 spec.hosts[0]: wider than one registrable domain: "
            "anyone may own hosts that it takes",
        ],
    ),
    "a pattern within a label": (
        PROVIDER + "spec: {hosts: ['api-*.example.com'], dialects: [openai-chat]}",
        [
            "policy.yaml:4:16 spec.hosts[0]: only a leading '*.' may stand for "
            "many hosts: a certificate can't be constrained to other patterns",
        ],
    ),
    "a URL for a host": (
        PROVIDER + "spec: {hosts: ['https://x.example'], dialects: [openai-chat]}",
        [
            "policy.yaml:4:16 spec.hosts[0]: a host is a name or address alone, "
            "without scheme, port, path or empty labels",
        ],
    ),
    "an address over TLS": (
        PROVIDER + "spec: {hosts: [10.0.0.1], dialects: [openai-chat]}",
        [
            "policy.yaml:4:1 spec: an IP address can't be intercepted over TLS: "
            "give the host's name",
        ],
    ),
    "an unknown dialect": (
        PROVIDER + "spec: {hosts: [a.example], dialects: [morse]}",
        [
            "policy.yaml:4:39 spec.dialects[0]: no such dialect; known are "
            + ", ".join(sorted(DIALECTS))
        ],
    ),
    "no host": (
        PROVIDER + "spec: {hosts: [], dialects: [openai-chat]}",
        [
            "policy.yaml:4:8 spec.hosts: should not be empty",
        ],
    ),
    "a port of no use": (
        PROVIDER + "spec: {hosts: [a.example], ports: [0], dialects: [openai-chat]}",
        [
            "policy.yaml:4:36 spec.ports[0]: should be greater than or equal to 1",
        ],
    ),
    "a built-in name": (
        PROVIDER.replace("mine", "openai") + "spec: {hosts: [a.example], dialects: [openai-chat]}",
        [
            "policy.yaml:3:12 metadata.name: is built in and can't be defined again",
        ],
    ),
    "too many entries": (
        HEAD + f"spec: {{intercept: [{', '.join(f'p{number}' for number in range(129))}]}}",
        [
            "policy.yaml:4:8 spec.intercept: should have at most 128 entries",
        ],
    ),
    "the same policy twice": (
        HEAD + "---\n" + HEAD,
        [
            "policy.yaml:7:12 metadata.name: LLMPolicy 'p' stands in policy.yaml:3:12 already",
        ],
    ),
}


@pytest.mark.parametrize(("text", "messages"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_wrong_is_said_with_its_place_and_nothing_else(text, messages):
    with pytest.raises(ConfigError) as refusal:
        load_documents({"policy.yaml": text})
    assert [str(problem) for problem in refusal.value.problems] == messages
