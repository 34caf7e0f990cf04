"""Policies that the sidecar is measured with. JSON, which is YAML."""

import json
from collections.abc import Mapping
from typing import Any

WEIGHTED = {
    "policy": "weighted",
    "candidates": [
        {"model": "gpt-4o-mini", "weight": 9},
        {"model": "gpt-4.1-mini", "weight": 1},
    ],
}

ALWAYS_ANOTHER = {
    "policy": "conditional",
    "candidates": [{"model": "gpt-4.1-mini"}, {"model": "gpt-4.1"}],
}
"""Every call gets another model than it asks for, always the same one."""


def policy(*, routes: int, budgets: int = 0, router: Mapping[str, Any] = WEIGHTED) -> str:
    """Write a policy of which the last route takes OpenAI's models, the others none.

    Args:
        routes: How many.
        budgets: How many.
        router: Of the last route.
    """
    taken = {"name": "all", "match": {"models": ["gpt-*"]}, "router": router}
    passed_by = [_other(number) for number in range(routes - 1)]
    spec = {
        "cache": {"mode": "readwrite", "ttl": "24h", "maxSize": "256Mi"},
        "routes": [*passed_by, taken],
        "budgets": [_budget(number) for number in range(budgets)],
    }
    return json.dumps(
        {
            "apiVersion": "remora.dev/v1alpha1",
            "kind": "LLMPolicy",
            "metadata": {"name": "bench"},
            "spec": spec,
        }
    )


def _other(number: int) -> dict[str, Any]:
    """Write a route for models that nobody asks for."""
    candidates = [{"model": "gpt-4o-mini"}, {"model": "gpt-4o"}]
    return {
        "name": f"team-{number}",
        "match": {"models": [f"team-{number}-*", f"*-of-team-{number}"]},
        "router": {"policy": "round-robin", "candidates": candidates},
    }


_PER = ("task", "session", "agent", "pod", "namespace")


def _budget(number: int) -> dict[str, Any]:
    per = _PER[number % len(_PER)]
    return {
        "name": f"budget-{number}",
        "per": per,
        "maxCostUSD": "1000000",
        "maxTokens": 10**15,
        "window": f"{number + 1}h",
    }
