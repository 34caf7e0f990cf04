"""Questions to be worded, made without a run."""

import json
from decimal import Decimal

from remora.policy.provider_document import provider_of
from remora.policy.spec import LLMProvider
from remora.providers import ProviderRegistry
from remora.workflows.estimate import Role
from remora.workflows.step import Step
from remora_sidecar.workflow_runs.wording import worded
from remora_sidecar.workflows.amounts import Load
from remora_sidecar.workflows.question import (
    AnswerForm,
    ModelWish,
    Question,
    SentMessage,
    Target,
)

CLOSED = {
    "type": "object",
    "additionalProperties": False,
    "required": ["about"],
    "properties": {"about": {"type": "boolean"}},
}
OPEN = {"type": "object", "properties": {"about": {"type": "boolean"}}}
TEXT = AnswerForm()
JSON = AnswerForm("json")


def form(schema, name="sort"):
    return AnswerForm("json", schema, name)


def question(model="gpt-4o-mini", /, *messages, form=TEXT, max_tokens=50, **parameters):
    """Make a question; without messages a system message and a user's."""
    said = messages or (SentMessage("system", "Be brief."), SentMessage("user", "Hello"))
    step = Step.model_validate({"id": "sort", "prompt": "x"})
    wish = ModelWish(step, Role("fast"), "answer", False, 10, max_tokens)
    return Question(
        "sort", None, 1, wish, Target("", model), said, form, max_tokens,
        Load(10, Decimal(0), 0), parameters=parameters,
    )  # fmt: skip


def provider(name):
    return ProviderRegistry.builtin().get(name) or own(name)


def own(name, *dialects):
    """Make a provider of somebody's own."""
    document = {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "LLMProvider",
        "metadata": {"name": name},
        "spec": {"hosts": ["llm.internal"], "dialects": list(dialects) or ["openai-chat"]},
    }
    return provider_of(LLMProvider.model_validate(document))


def body(asked, name, can=None):
    """Word a question for a provider, and read its body."""
    return json.loads(worded(asked, provider(name), can).body)
