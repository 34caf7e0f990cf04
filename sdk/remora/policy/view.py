"""The policy that applies to a pod, as people and programs are shown it. Pure."""

import json
from collections.abc import Mapping

from remora.policy.effective import EffectivePolicy


def policy_view(effective: EffectivePolicy) -> Mapping[str, object]:
    """Describe an effective policy, ready for JSON.

    Below what was selected and what follows from it stands the document that travels: the policy
    with floors merged, and the providers that documents define for it.
    """
    return {
        "name": effective.name,
        "source": effective.source.value,
        "version": effective.version,
        "notes": list(effective.notes),
        "intercept": list(effective.intercept),
        "capture": effective.capture,
        "opaque": effective.opaque,
        "includeUsage": effective.include_usage,
        **json.loads(effective.canonical),
    }
