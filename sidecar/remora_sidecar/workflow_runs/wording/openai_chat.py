"""A question as a chat of OpenAI's API, which most providers serve, each with limits of its own.

Sources: platform.openai.com/docs/api-reference/chat and /guides/reasoning; docs.x.ai "Chat
completions" (what reasoning models refuse); docs.mistral.ai/api (``random_seed``, unknown members
refused); inference-docs.cerebras.ai "OpenAI compatibility"; ai.google.dev/api/compatibility
(members that it does not list are refused); docs.vllm.ai "Multimodal inputs".
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from remora.providers import Provider
from remora.workflows.model import Capability
from remora_sidecar.openai_api.wanted import refused_parameter
from remora_sidecar.workflow_runs.wording.attachments import (
    WordingError,
    data_of,
    shown_by_user,
)
from remora_sidecar.workflow_runs.wording.forms import in_words, response_format
from remora_sidecar.workflows.question import Question, SentMessage

_PENALTIES: Final = frozenset({"frequency_penalty", "presence_penalty"})
_REFUSED: Final[Mapping[str, frozenset[str]]] = {
    "cerebras": _PENALTIES | {"logit_bias"},
    "google": _PENALTIES | {"seed", "logit_bias"},
}
"""What a provider refuses whatever the model."""

_REFUSED_IN_THOUGHT: Final[Mapping[str, frozenset[str]]] = {"xai": _PENALTIES | {"stop"}}
"""What a provider's models that can reason refuse besides; OpenAI's are known elsewhere."""

_RENAMED: Final[Mapping[str, Mapping[str, str]]] = {"mistral": {"seed": "random_seed"}}
_LONG_LIMIT: Final = frozenset({"openai", "azure-openai"})
"""Reasoning models of theirs refuse ``max_tokens``; most other servers know nothing else."""

_WHOLE_FORMS: Final = frozenset({"groq"})
"""Answer whole where they hold an answer to a form."""

_TAKES_SOUND_URLS: Final = frozenset({"vllm"})


def chat_body(
    question: Question, provider: Provider, can: Collection[Capability]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Word a question.

    Args:
        question: What is asked.
        provider: Who is asked.
        can: What the model can do.

    Returns:
        The body, and the names of the parameters that are not in it.

    Raises:
        WordingError: The provider can't be given an attachment.
    """
    parameters, left_out = _parameters(question.parameters, provider, "reasoning" in can)
    form = response_format(question.form, provider.name, can)
    limit = "max_completion_tokens" if provider.name in _LONG_LIMIT else "max_tokens"
    is_said = question.form.type == "json" and (form is None or form["type"] == "json_object")
    messages = list(shown_by_user(question.messages))
    if is_said:
        messages = _with_words(messages, in_words(question.form))
    body = {
        **parameters,
        "model": question.target.model,
        "messages": [_message(message, provider) for message in messages],
        limit: question.max_tokens,
        **({} if form is None else {"response_format": form}),
        **_streaming(provider, has_form=form is not None),
    }
    return body, left_out


def _parameters(
    given: Mapping[str, Any], provider: Provider, thinks: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Give the parameters that a model takes, and the names of the others."""
    refused = _REFUSED.get(provider.name, frozenset())
    if thinks:
        refused |= _REFUSED_IN_THOUGHT.get(provider.name, frozenset())
    taken = {name: value for name, value in given.items() if name not in refused}
    while name := refused_parameter(provider.name, thinks=thinks, fields=taken):
        del taken[name]
    taken.pop("stream_options", None)
    renamed = _RENAMED.get(provider.name, {})
    left_out = tuple(sorted(given.keys() - taken.keys() - {"stream_options"}))
    return {renamed.get(name, name): value for name, value in taken.items()}, left_out


def _streaming(provider: Provider, *, has_form: bool) -> dict[str, Any]:
    """Ask for a stream: one that is cut is billed for what it wrote, no more.

    Usage is asked for where it is known to be needed, and of servers of one's own, which take
    the option or pass it over; the others state it unasked.
    """
    if has_form and provider.name in _WHOLE_FORMS:
        return {}
    states_it_unasked = provider.built_in and not provider.takes_include_usage
    options = {} if states_it_unasked else {"stream_options": {"include_usage": True}}
    return {"stream": True, **options}


def _with_words(messages: Sequence[SentMessage], words: str) -> list[SentMessage]:
    """Say something at the end of the system message: many models' templates take only one."""
    leading = next((n for n, m in enumerate(messages) if m.role != "system"), len(messages))
    before = messages[leading - 1].text if leading else ""
    said = SentMessage("system", f"{before}\n\n{words}" if before else words)
    return [*messages[: max(leading - 1, 0)], said, *messages[leading:]]


def _message(message: SentMessage, provider: Provider) -> dict[str, Any]:
    if not message.attachments:
        return {"role": message.role, "content": message.text}
    text = [{"type": "text", "text": message.text}] if message.text else []
    parts = [_part(kind, url, provider) for kind, url in message.attachments]
    return {"role": message.role, "content": [*text, *parts]}


def _part(kind: str, url: str, provider: Provider) -> dict[str, Any]:
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    data = data_of(url)
    if data is not None:
        sound = {"data": data.base64, "format": data.sound_format}
        return {"type": "input_audio", "input_audio": sound}
    if provider.built_in and provider.name not in _TAKES_SOUND_URLS:
        what = f"{provider.name} takes sound only as it is, not by its address: give a data URL"
        raise WordingError(what)
    return {"type": "audio_url", "audio_url": {"url": url}}
