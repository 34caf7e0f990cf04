"""What Kalibr's clients name models and traces, in our words: arms and call ids. Pure."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from remora.ids import is_call_id
from remora.learning.arms import Arm, Scalar

TOOL: Final = "tool_id"
"""The parameter of an arm that names the tool of its path."""

_VENDORS: Final = ("openai", "anthropic", "google", "deepseek", "tavily", "nebius", "ollama")
"""What a model id may begin with, and a slash; of any other word it is a model of Hugging Face."""

_STARTS: Final = (
    (("gpt-", "chatgpt-", "o1", "o3", "o4", "ft:", "text-embedding-", "tts-", "whisper", "dall-e"),
     "openai"),
    (("claude-",), "anthropic"),
    (("gemini-",), "google"),
    (("deepseek-",), "deepseek"),
    (("eleven_",), "elevenlabs"),
    (("aura-", "nova-2", "nova-3"), "deepgram"),
)  # fmt: skip
_DASHED: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def provider_and_model(model_id: str) -> tuple[str, str]:
    """Say who serves a model, and what it is called there, as the client dispatches it."""
    vendor, slash, rest = model_id.partition("/")
    if slash and vendor in _VENDORS and rest:
        return vendor, rest
    if vendor == "models" and rest:
        return "google", rest
    for starts, provider in _STARTS:
        if model_id.startswith(starts):
            return provider, model_id
    is_foreign = bool(slash) and not model_id.startswith("ft:")
    return ("huggingface" if is_foreign else "openai"), model_id


def arm_of(model_id: str, tool_id: str = "", params: Mapping[str, Any] | None = None) -> Arm:
    """Give the arm of a path: its tool and what else sets it apart are parameters."""
    provider, model = provider_and_model(model_id)
    parameters: dict[str, Scalar] = {}
    for name, value in sorted((params or {}).items()):
        is_scalar = value is None or isinstance(value, str | int | float | bool)
        parameters[name] = value if is_scalar else json.dumps(value, sort_keys=True)
    if tool_id:
        parameters[TOOL] = tool_id
    return Arm(provider, model, parameters)


def call_id_of(trace_id: str) -> str:
    """Give the call id of a trace id: the same without dashes, or made of what is no such id."""
    plain = trace_id.strip().lower()
    if is_call_id(plain):
        return plain
    if _DASHED.fullmatch(plain):
        return plain.replace("-", "")
    return hashlib.sha256(trace_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def pooled(goal: str, pipeline_id: str = "") -> str:
    """Name the goal whose scores count: each pipeline has scores of its own."""
    return f"{goal}#{pipeline_id}" if pipeline_id else goal


def goal_of_pool(pool: str) -> str:
    """Give the goal that a pool is one of: its settings are the pool's."""
    return pool.partition("#")[0]
