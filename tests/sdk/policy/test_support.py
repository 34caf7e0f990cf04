"""What this release does not enforce is refused, down to single values of lists."""

import pytest

from remora.policy.support import not_yet_supported


def _rules(router_policy):
    router = {"policy": router_policy, "candidates": [{"model": "m"}]}
    return {"routes": [{"name": "plain"}, {"name": "r", "router": router}]}


PLACES = {
    "of a policy": ("LLMPolicy", lambda rules: rules, ("spec",)),
    "of a cluster's defaults": (
        "ClusterLLMPolicy",
        lambda rules: {"defaults": rules},
        ("spec", "defaults"),
    ),
}


@pytest.mark.parametrize(("kind", "placed", "path"), PLACES.values(), ids=PLACES)
def test_learned_routing_is_refused_though_routes_are_enforced(kind, placed, path):
    assert [*not_yet_supported(kind, {"spec": placed(_rules("random"))})] == []
    assert [*not_yet_supported(kind, {"spec": placed(_rules("learned"))})] == [
        (
            (*path, "routes", 1, "router", "policy"),
            "'learned' is not supported yet: learned routing does not exist yet",
        )
    ]


@pytest.mark.parametrize(
    "routes",
    [None, {}, "text", [None, 1], [{"router": []}], [{"router": {"policy": ["learned"]}}]],
    ids=repr,
)
def test_what_is_malformed_is_left_to_validation(routes):
    assert [*not_yet_supported("LLMPolicy", {"spec": {"routes": routes}})] == []
