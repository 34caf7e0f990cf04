"""Recorded AdmissionReviews of foreign pods: each gives a valid pod, once and for all."""

import functools

import jsonschema
import kubernetes_validate
import pytest
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource
from tests.operator.api_server import admitted
from tests.operator.pod_security import violations
from tests.operator.pods import ENABLED, Recorded, as_before, patched, recorded_reviews

from remora_operator.inject import Injection, InjectionConfig, Namespace, inject

CONFIGS = {
    "auto": InjectionConfig(),
    "explicit": InjectionConfig(mode="explicit"),
    "classic": InjectionConfig(native_sidecars=False),
    "lenient": InjectionConfig(safety=dict.fromkeys(InjectionConfig().safety, "allow")),
}


@pytest.fixture(scope="module")
def pods() -> list[Recorded]:
    if not recorded_reviews():
        pytest.skip("no recorded reviews: set REMORA_CORPUS to their folder")
    return [r for r in recorded_reviews() if r.is_new_pod]


@functools.cache
def _validator(version: str) -> jsonschema.Draft202012Validator:
    """The schema that ``kubernetes-validate --strict`` checks pods by, read once."""
    folder = f"kubernetes-json-schema/v{version}.0-local-strict"
    pods, definitions = (
        Resource.from_contents(schema_contents(f"{folder}/{file}.json", version))
        for file in ("pod-v1", "_definitions")
    )
    registry = definitions @ (pods @ Registry())
    return jsonschema.Draft202012Validator(pods.contents, registry=registry)


def _injected(pods, config, namespace=ENABLED):
    for recorded in pods:
        decision = inject(recorded.pod, namespace, config)
        if isinstance(decision, Injection):
            yield recorded, decision, patched(recorded.pod, decision)


def test_most_pods_are_injected_and_all_where_everything_is_allowed(pods):
    default = sum(1 for _ in _injected(pods, CONFIGS["auto"]))
    lenient = {recorded.id for recorded, _, _ in _injected(pods, CONFIGS["lenient"])}

    assert default > 0.9 * len(pods)
    for recorded in pods:
        spec = recorded.pod["spec"]
        systems = {
            (spec.get("os") or {}).get("name"),
            (spec.get("nodeSelector") or {}).get("kubernetes.io/os"),
        }
        windows = "windows" in systems
        left = windows or bool(spec.get("hostNetwork"))
        assert (recorded.id in lenient) is not left, recorded.id


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_the_users_stays_and_a_second_pass_is_empty(pods, name):
    for recorded, decision, after in _injected(pods, CONFIGS[name]):
        as_before(recorded.pod, after)
        again = inject(admitted(after), ENABLED, CONFIGS[name])
        assert isinstance(again, Injection), (recorded.id, again)
        assert (again.operations, again.digest) == ((), decision.digest), recorded.id


@pytest.mark.parametrize("version", ["1.36", "1.37"])
@pytest.mark.parametrize("name", CONFIGS)
def test_patched_pods_are_valid_if_they_were(pods, name, version):
    validator = _validator(version)
    checked = [
        (recorded.id, validator.is_valid(after))
        for recorded, _, after in _injected(pods, CONFIGS[name])
        if validator.is_valid(recorded.pod)
    ]
    assert len(checked) > 0.8 * len(pods)
    assert [identity for identity, valid in checked if not valid] == []


def test_the_schema_read_once_is_the_one_that_the_tool_takes(pods):
    good = next(patched_pod for _, _, patched_pod in _injected(pods[:1], CONFIGS["auto"]))
    bad = {**good, "spec": {**good["spec"], "sidecars": []}}

    assert kubernetes_validate.validate(good, "1.37", strict=True) == "1.37"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(bad, "1.37", strict=True)
    assert [_validator("1.37").is_valid(pod) for pod in (good, bad)] == [True, False]


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_the_pod_security_verdict_is_kept_in_a_namespace_that_enforces_it(pods, level):
    labels = {"remora.dev/injection": "enabled", "pod-security.kubernetes.io/enforce": level}
    namespace = Namespace("team", labels)
    passed = 0
    for recorded, _, after in _injected(pods, CONFIGS["auto"], namespace):
        before = violations(recorded.pod, level)
        assert violations(after, level) == before, recorded.id
        passed += not before
    assert passed > 10
