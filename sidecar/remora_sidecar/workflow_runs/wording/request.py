"""The request that asks a provider a question, in the dialect that carries most of it."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from remora.providers import Provider
from remora.workflows.model import Capability
from remora_sidecar.openai_api.surface import CHAT, Surface
from remora_sidecar.workflow_runs.wording.abilities import known_abilities
from remora_sidecar.workflow_runs.wording.anthropic_messages import (
    HEADERS,
    MESSAGES,
    messages_body,
)
from remora_sidecar.workflow_runs.wording.attachments import WordingError
from remora_sidecar.workflow_runs.wording.openai_chat import chat_body
from remora_sidecar.workflows.question import Question

_JSON: Final[Mapping[str, str]] = MappingProxyType({"content-type": "application/json"})


@dataclass(frozen=True, slots=True)
class Worded:
    """A request, but for its key.

    Attributes:
        surface: Which call it is: the dialect, and the path behind the provider's base path.
        body: JSON, in UTF-8.
        headers: Fields with their names in lower case; no key is among them.
        left_out: Parameters of the question that this model takes no other value of, or that
            the dialect has no word for.
    """

    surface: Surface
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = _JSON
    left_out: tuple[str, ...] = ()


def surface_of(provider: Provider) -> Surface | None:
    """Return the call by which a provider is asked; None: it has none of those worded here."""
    speaks = provider.base_paths
    if CHAT.dialect in speaks and not (provider.name == "anthropic" and MESSAGES.dialect in speaks):
        return CHAT
    return MESSAGES if MESSAGES.dialect in speaks else None


def worded(
    question: Question, provider: Provider, can: Collection[Capability] | None = None
) -> Worded:
    """Word a question for the provider of its target, as a stream where that can be had.

    Args:
        question: What is asked; its target names the model as the provider takes it.
        provider: Who is asked.
        can: What the model can do; None: what the package's catalogue says.

    Raises:
        WordingError: The provider speaks no dialect that questions are worded in, or can't be
            given an attachment.
    """
    surface = surface_of(provider)
    if can is None:
        can = known_abilities(provider.name, question.target.model)
    if surface is None:
        raise WordingError(f"{provider.name} speaks neither openai-chat nor anthropic-messages")
    if surface is MESSAGES:
        body, left_out = messages_body(question, can)
        return Worded(surface, _json(body), HEADERS, left_out)
    body, left_out = chat_body(question, provider, can)
    return Worded(surface, _json(body), _JSON, left_out)


def _json(body: Mapping[str, Any]) -> bytes:
    """Write a body; half a surrogate pair, which no UTF-8 can hold, stays escaped."""
    try:
        return json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(body).encode()
