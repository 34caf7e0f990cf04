"""How an answer in JSON is asked for: by a provider's own feature, or in words.

Which feature a provider's model has is the catalogue's to say; what of it the provider's API
takes stands here. Nothing relies on it: a run reads and checks every answer.

Sources: platform.openai.com/docs/guides/structured-outputs; console.groq.com/docs/
structured-outputs ("streaming and tool use are not currently supported"); inference-docs.
cerebras.ai/capabilities/structured-outputs; api-docs.deepseek.com/guides/json_mode and
docs.z.ai "Structured output" (no schemas); ai.google.dev/gemini-api/docs/openai; lmstudio.ai/docs
and docs.perplexity.ai (schemas, but no ``json_object``).
"""

import json
import re
from collections.abc import Collection
from typing import Any, Final

from remora.workflows.model import Capability
from remora_sidecar.workflow_runs.wording.held_schema import BARE, OPENAI, held_schema
from remora_sidecar.workflows.question import AnswerForm

ONLY_JSON: Final = "Answer with JSON only: no other text around it, no code fence."

_NO_SCHEMAS: Final = frozenset({"deepseek", "zai"})
_NO_OBJECTS: Final = frozenset({"lm-studio", "perplexity", "cerebras"})
_OPENAIS: Final = frozenset({"openai", "azure-openai"})
_BEST_EFFORT: Final = frozenset({*_OPENAIS, "groq", "cerebras", "mistral"})
"""Take any schema of an object where ``strict`` is false."""

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")


def response_format(
    form: AnswerForm, provider: str, can: Collection[Capability]
) -> dict[str, Any] | None:
    """Return OpenAI's member of that name; None: the provider has no feature that helps.

    Only schemas of objects are ever asked for by a feature: the root of OpenAI's has to be one.

    Args:
        form: How the answer is wanted.
        provider: Name of who is asked.
        can: What the model can do.
    """
    if form.type != "json" or not _is_of_object(form.schema):
        return None
    if "structured_output" in can and provider not in _NO_SCHEMAS:
        wanted = _schema_format(form, provider)
        if wanted is not None:
            return wanted
    if "json_mode" in can and provider not in _NO_OBJECTS:
        return {"type": "json_object"}
    return None


def _is_of_object(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "object"


def _schema_format(form: AnswerForm, provider: str) -> dict[str, Any] | None:
    schema = held_schema(form.schema, OPENAI if provider in _OPENAIS else BARE)
    strict = schema is not None
    if schema is None:
        if provider not in _BEST_EFFORT:
            return None
        schema = form.schema
    name = _NOT_IN_NAMES.sub("_", form.name)[:64] or "answer"
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "strict": strict, "schema": schema},
    }


def in_words(form: AnswerForm) -> str:
    """Say how an answer in JSON is wanted."""
    if form.schema is None:
        return ONLY_JSON
    schema = json.dumps(form.schema, ensure_ascii=False)
    return f"{ONLY_JSON} It has to fit this JSON Schema:\n{schema}"
