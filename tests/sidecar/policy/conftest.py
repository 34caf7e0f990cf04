import json

import pytest

from remora.policy import effective_policy, load_documents


@pytest.fixture
def document():
    """Writes the document that an operator would send."""

    def written(name="p", **spec):
        policy = {
            "apiVersion": "remora.dev/v1alpha1",
            "kind": "LLMPolicy",
            "metadata": {"name": name},
            "spec": spec,
        }
        return effective_policy(load_documents({"p.yaml": json.dumps(policy)}), {}).canonical

    return written
