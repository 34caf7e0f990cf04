"""A question in Anthropic's Messages API, which holds answers to schemas, as its chats do not.

Sources: platform.claude.com/docs, "Messages", "Structured outputs" (``output_config.format``, no
beta header), "Vision", "OpenAI SDK compatibility" (``response_format`` and ``seed`` passed over)
and "What's new" of Claude Opus 4.7 (no sampling parameters from there on); the official SDK.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from remora.workflows.model import Capability
from remora_sidecar.openai_api.surface import Surface
from remora_sidecar.workflow_runs.wording.attachments import (
    WordingError,
    data_of,
    shown_by_user,
)
from remora_sidecar.workflow_runs.wording.forms import in_words
from remora_sidecar.workflow_runs.wording.held_schema import ANTHROPIC, held_schema
from remora_sidecar.workflows.question import AnswerForm, Question, SentMessage

MESSAGES: Final = Surface("chat", "anthropic-messages", "/v1/messages")
HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {"content-type": "application/json", "anthropic-version": "2023-06-01"}
)

_NO_WORD: Final = frozenset(
    {"frequency_penalty", "logit_bias", "logprobs", "modalities", "parallel_tool_calls",
     "prediction", "presence_penalty", "prompt_cache_key", "reasoning_effort", "seed", "store",
     "stream_options", "top_logprobs", "user", "verbosity"}
)  # fmt: skip
"""OpenAI's, for which Anthropic has none; it refuses members that it does not know."""

_SAMPLING: Final = frozenset({"temperature", "top_k", "top_p"})
_SAMPLED: Final = re.compile(
    r"claude-(?:instant|v?2|3|(?:opus|sonnet|haiku)-4(?:-[0-6])?(?:$|[@:]|-\d{8}|-v\d|-latest))"
)
"""Claude models that take sampling parameters; later ones answer them with an error."""


def messages_body(
    question: Question, can: Collection[Capability]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Word a question.

    Args:
        question: What is asked.
        can: What the model can do.

    Returns:
        The body, and the names of the parameters that are not in it.

    Raises:
        WordingError: Anthropic can't be given an attachment.
    """
    parameters = _parameters(question.parameters, question.target.model)
    left_out = question.parameters.keys() - parameters.keys() - {"stop", "stream_options"}
    schema = _held(question.form, can)
    if schema is not None:
        form = {"format": {"type": "json_schema", "schema": schema}}
        given = parameters.get("output_config")
        parameters["output_config"] = {**(given if isinstance(given, dict) else {}), **form}
    body = {
        **parameters,
        "model": question.target.model,
        **_system(question, is_said=schema is None),
        "messages": _turns(question.messages),
        "max_tokens": question.max_tokens,
        "stream": True,
    }
    return body, tuple(sorted(left_out))


def _parameters(given: Mapping[str, Any], model: str) -> dict[str, Any]:
    refused = _NO_WORD
    if "claude" in model and not _SAMPLED.search(model):
        refused |= _SAMPLING
    elif "temperature" in given:
        refused |= {"top_p"}  # one of the two, from Claude 4.5 on
    taken = {name: value for name, value in given.items() if name not in refused}
    if "temperature" in taken:
        taken["temperature"] = min(taken["temperature"], 1.0)
    if (stop := taken.pop("stop", None)) is not None:
        taken["stop_sequences"] = stop
    return taken


def _held(form: AnswerForm, can: Collection[Capability]) -> dict[str, Any] | None:
    if form.type != "json" or "structured_output" not in can:
        return None
    return held_schema(form.schema, ANTHROPIC)


def _system(question: Question, *, is_said: bool) -> dict[str, Any]:
    """Take all system messages to where Anthropic has them; the form is said behind them."""
    texts = [m.text for m in question.messages if m.role == "system" and m.text.strip()]
    if is_said and question.form.type == "json":
        texts.append(in_words(question.form))
    return {"system": [{"type": "text", "text": text} for text in texts]} if texts else {}


def _turns(messages: Sequence[SentMessage]) -> list[dict[str, Any]]:
    """Give the other messages; one without anything in it would be refused."""
    turns = [(m.role, _content(m)) for m in shown_by_user(messages) if m.role != "system"]
    return [{"role": role, "content": content} for role, content in turns if content]


def _content(message: SentMessage) -> list[dict[str, Any]]:
    """Give a message's parts, pictures first, as Anthropic recommends."""
    text = [{"type": "text", "text": message.text}] if message.text.strip() else []
    return [*(_part(kind, url) for kind, url in message.attachments), *text]


def _part(kind: str, url: str) -> dict[str, Any]:
    if kind != "image":
        raise WordingError("Anthropic's models take no sound")
    data = data_of(url)
    if data is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    source = {"type": "base64", "media_type": data.media_type, "data": data.base64}
    return {"type": "image", "source": source}
