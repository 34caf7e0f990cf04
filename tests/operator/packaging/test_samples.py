"""The samples are what a newcomer applies, one after another, and they fit together."""

import ast
import re

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from tests.operator.packaging.admission import calls
from tests.operator.packaging.rendered import (
    K8S,
    container_of,
    kustomized,
    only,
    pod_template,
    samples,
    variables,
    workloads,
)
from tests.operator.pod_security import violations

from remora.cli.policy import command as policy_command
from remora.policy import effective_policy, load_documents
from remora_operator.inject import Injection, InjectionConfig, Namespace, inject
from remora_operator.inject.config import policy_needs
from remora_operator.policies.credentials import PROVIDER_LABEL

FILES = sorted((K8S / "samples").iterdir())
POLICIES = [K8S / "samples/02-provider.yaml", K8S / "samples/04-policy.yaml"]
OBJECTS = [one for file in samples().values() for one in file]
AGENTS = [one for one in workloads(OBJECTS) if one["metadata"]["namespace"] == "agents"]


def _named(one):
    return f"{one['kind']} {one['metadata']['name']}"


def _pod(workload):
    template = pod_template(workload)
    return {**template, "metadata": {"name": "p", **template["metadata"]}}


def _effective(workload):
    documents = load_documents({file.name: file.read_text() for file in POLICIES})
    return effective_policy(documents, labels=_pod(workload)["metadata"]["labels"])


def test_they_are_numbered_without_a_gap():
    assert [file.name[:2] for file in FILES] == [f"{n:02}" for n in range(1, len(FILES) + 1)]
    for file in FILES:
        assert file.read_text().startswith("# "), file


def test_nothing_is_applied_before_its_namespace_is_there():
    seen = {"remora-system", ""}
    for one in OBJECTS:
        assert one["metadata"].get("namespace", "") in seen
        if one["kind"] == "Namespace":
            seen.add(one["metadata"]["name"])


@pytest.mark.parametrize("kind", ["LLMProvider", "LLMPolicy"])
def test_policies_are_what_the_definitions_take(kind):
    [one] = [one for one in OBJECTS if one["kind"] == kind]
    definition = next(
        d for d in kustomized("crds") if d["spec"]["names"]["kind"] == kind
    )  # fmt: skip
    [version] = definition["spec"]["versions"]
    jsonschema.validate(one, version["schema"]["openAPIV3Schema"])


def test_policies_are_valid_without_a_warning():
    done = CliRunner().invoke(policy_command, ["validate", *map(str, POLICIES)])
    assert done.exit_code == 0, done.output
    assert "warning" not in done.output.lower()


def test_the_secret_is_the_one_that_policy_names_and_may_use():
    [secret] = [one for one in OBJECTS if one["kind"] == "Secret"]
    [policy] = [one for one in OBJECTS if one["kind"] == "LLMPolicy"]
    [credential] = policy["spec"]["credentials"]
    assert credential["secretRef"]["name"] == secret["metadata"]["name"]
    assert credential["secretRef"]["key"] in secret["stringData"]
    assert secret["metadata"]["labels"][PROVIDER_LABEL] == credential["provider"]
    assert secret["metadata"]["namespace"] == policy["metadata"]["namespace"]


@pytest.mark.parametrize("workload", AGENTS, ids=_named)
def test_agents_get_a_sidecar_and_the_policy_and_pass_every_level(workload):
    namespace = only(OBJECTS, "Namespace", "agents")
    labels = namespace["metadata"]["labels"] | {"kubernetes.io/metadata.name": "agents"}
    given = _pod(workload)
    entries = only(kustomized(), "MutatingWebhookConfiguration", "remora-injector")["webhooks"]
    assert sum(calls(entry, {"metadata": {"labels": labels}}, given) for entry in entries) == 1

    effective = _effective(workload)
    decision = inject(
        given,
        Namespace("agents", labels, needs=lambda _: policy_needs(effective)),
        InjectionConfig(),
    )
    assert isinstance(decision, Injection), decision
    assert [str(warning.message) for warning in decision.warnings] == []
    assert effective.rules.budgets
    assert violations(given, "restricted") == []


@pytest.mark.parametrize("workload", AGENTS, ids=_named)
def test_agents_know_nothing_of_remora_and_have_no_key(workload):
    container = container_of(workload)
    assert "remora" not in yaml.safe_dump(container).replace("remora-call-id", "")
    assert "api-key" not in yaml.safe_dump(container)


def test_the_agents_program_can_be_read_and_asks_for_a_model_that_policy_allows():
    [agent] = [one for one in AGENTS if one["kind"] == "Deployment"]
    [program] = container_of(agent)["args"]
    ast.parse(program)
    [policy] = [one for one in OBJECTS if one["kind"] == "LLMPolicy"]
    for model in re.findall(r'"model": "([^"]+)"', yaml.safe_dump(OBJECTS)):
        assert any(re.match(g.replace("*", ".*"), model) for g in policy["spec"]["models"]["allow"])


def test_the_look_is_taken_by_somebody_whom_the_aggregator_knows():
    [look] = samples()["07-look.yaml"]
    spec, container = pod_template(look)["spec"], container_of(look)
    only(kustomized(), "ServiceAccount", spec["serviceAccountName"])
    [volume] = spec["volumes"]
    token, secret = volume["projected"]["sources"]
    folder = container["volumeMounts"][0]["mountPath"]
    said = variables(container)
    assert token["serviceAccountToken"]["audience"] == "remora-aggregator"
    assert (
        said["REMORA_AGGREGATOR_TOKEN_FILE"] == f"{folder}/{token['serviceAccountToken']['path']}"
    )
    [item] = secret["secret"]["items"]
    assert (item["key"], said["REMORA_AGGREGATOR_CA"]) == ("ca.crt", f"{folder}/{item['path']}")
    assert violations(pod_template(look), "restricted") == []


def test_the_read_me_names_every_sample_in_order():
    text = (K8S / "README.md").read_text()
    assert re.findall(r"samples/(\d\d-[a-z]+\.yaml)", text) == [file.name for file in FILES]
