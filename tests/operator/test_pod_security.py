"""The tests' own evaluator of Pod Security agrees with an API server's recorded verdicts."""

import pytest
from tests.operator.pod_security import violations
from tests.operator.pods import SAFE, container, pod, recorded_reviews


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_recorded_verdicts_are_met_without_exception(level):
    reviews = recorded_reviews()
    if not reviews:
        pytest.skip("no recorded reviews: set REMORA_CORPUS to their folder")
    asked = [r for r in reviews if r.security[level] is not None]

    wrong = [r.id for r in asked if (not violations(r.pod, level)) != (r.security[level] == "pass")]

    assert len(asked) > 300
    assert wrong == []


@pytest.mark.parametrize(
    ("given", "failed"),
    [
        pytest.param(pod(), [], id="restricted"),
        pytest.param(pod(hostPID=True), ["hostNamespaces"], id="host's processes"),
        pytest.param(
            pod(container(securityContext={**SAFE, "runAsUser": 0})), ["runAsUser"], id="root"
        ),
        pytest.param(
            pod(container(securityContext={**SAFE, "capabilities": {"add": ["NET_ADMIN"]}})),
            ["capabilities", "drop ALL"],
            id="capability",
        ),
    ],
)
def test_checks_are_named(given, failed):
    assert violations(given, "restricted") == failed
