"""What this release does not enforce is refused, not ignored."""

import pytest

from remora.policy import support
from remora.policy.support import ENFORCED, not_yet_supported

PLACES = {
    "of a policy": ("LLMPolicy", lambda rules: rules, ("spec",)),
    "of a cluster's defaults": (
        "ClusterLLMPolicy",
        lambda rules: {"defaults": rules},
        ("spec", "defaults"),
    ),
}


@pytest.fixture
def without_routes(monkeypatch):
    """A release that does not know what to do with routes."""
    left = {kind: {f for f in fields if "routes" not in f} for kind, fields in ENFORCED.items()}
    monkeypatch.setattr(support, "ENFORCED", left)


@pytest.mark.parametrize(("kind", "placed", "path"), PLACES.values(), ids=PLACES)
def test_a_field_that_nothing_enforces_is_refused(kind, placed, path, without_routes):
    spec = placed({"routes": [{"name": "r"}], "capture": "full"})
    ((where, what),) = not_yet_supported(kind, {"spec": spec})
    assert where == (*path, "routes")
    assert "nothing enforces it" in what


@pytest.mark.parametrize("kind", ENFORCED)
def test_a_field_that_is_enforced_is_taken_with_all_below_it(kind):
    spec = {"routes": [{"name": "r"}], "learning": {"acrossNamespaces": True}, "hosts": ["a.b"]}
    assert [*not_yet_supported(kind, {"spec": spec})] == []


@pytest.mark.parametrize(
    "routes",
    [None, {}, "text", [None, 1], [{"router": []}], [{"router": {"policy": ["learned"]}}]],
    ids=repr,
)
def test_what_is_malformed_is_left_to_validation(routes):
    assert [*not_yet_supported("LLMPolicy", {"spec": {"routes": routes}})] == []


@pytest.mark.parametrize("nothing", [None, [], {}], ids=repr)
def test_a_field_that_asks_for_nothing_may_stand(nothing, without_routes):
    assert [*not_yet_supported("LLMPolicy", {"spec": {"routes": nothing}})] == []
