"""A request sent elsewhere than it was meant: another model, another provider's address. Pure.

Only what is named changes (rule 1 of the design): the value of ``model`` in the body, or the part
of the path that carries it (Gemini, Bedrock, Azure's deployments), and for another provider the
path in front of the dialect's own. Every other byte stays.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from remora.providers import Provider
from remora_sidecar.dialects.framing.json_members import spells_a_letter, with_member
from remora_sidecar.dialects.framing.json_values import parse_json

_DEPLOYMENT = re.compile(r"(/deployments/)([^/]+)(/)", re.IGNORECASE)
_AZURE_TAIL = re.compile(r".*/deployments/[^/]+(/.+)", re.IGNORECASE)
_GEMINI_MODEL = re.compile(r"(/models/)([^/:]+)(:\w+/*)$", re.IGNORECASE)
_BEDROCK_MODEL = re.compile(r"(/model/)([^/]+)(/[-\w]+/*)$", re.IGNORECASE)

_KEPT_BODIES = 128
_KEPT_BODY_BYTES = 8 * 1024
"""So many small requests that are asked again need not be gone through again."""

_MODEL_KEY = b'"model"'
_TEXT_VALUE = re.compile(rb'\s*:\s*("[^"\\]*")')

_MODEL_IN_PATH: Mapping[str, re.Pattern[str]] = {
    "gemini-generate": _GEMINI_MODEL,
    "bedrock-converse": _BEDROCK_MODEL,
    "bedrock-invoke": _BEDROCK_MODEL,
}

_OWN_PATHS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in (
        ("openai-chat", r"/chat/completions/*$"),
        ("openai-responses", r"/responses/*$"),
        ("openai-completions", r"(?<!/chat)/completions/*$"),
        ("openai-embeddings", r"/embeddings/*$"),
        ("openai-images", r"/images/(?:generations|edits|variations)/*$"),
        ("openai-audio", r"/audio/(?:speech|transcriptions|translations)/*$"),
        ("openai-moderations", r"/moderations/*$"),
        ("anthropic-messages", r"/v1/messages(?:/count_tokens)?/*$"),
        ("cohere-chat", r"/v[12]/(?:chat|embed|rerank)/*$"),
        ("ollama-chat", r"/api/(?:chat|generate|embed)/*$"),
        ("gemini-generate", r"/v1\w*/models/[^/:]+:\w+/*$"),
    )
}
"""What stands behind a provider's base path, by dialect; others can't be sent elsewhere."""


class Rewritten(NamedTuple):
    """A request's path and body as they are to be sent."""

    path: str
    body: bytes


def with_model(dialect: str, path: str, body: bytes, model: str) -> Rewritten | None:
    """Ask for another model.

    Args:
        dialect: The call's.
        path: As sent, unquoted by nobody, without query.
        body: Decoded, but as sent.
        model: The one to ask for.

    Returns:
        The request that asks for it; None where it can't be made to.
    """
    rewritten = _kept_rewritten if len(body) <= _KEPT_BODY_BYTES else _rewritten
    return rewritten(dialect, path, body, model)


def _rewritten(dialect: str, path: str, body: bytes, model: str) -> Rewritten | None:
    if (in_path := _MODEL_IN_PATH.get(dialect)) is not None:
        return _with_model_in_path(in_path, path, body, model)
    if dialect.startswith("openai-") and _DEPLOYMENT.search(path):
        return _with_model_in_path(_DEPLOYMENT, path, body, model)
    value = _written(model)
    if (changed := _with_only_model(body, value, model)) is not None:
        return Rewritten(path, changed)
    asked = parse_json(body)
    if not isinstance(asked, dict):
        return None
    try:
        return Rewritten(path, with_member(body, b"model", value))
    except ValueError:  # a parser took it, and yet no object ends in it
        return None


_kept_rewritten = lru_cache(maxsize=_KEPT_BODIES)(_rewritten)


@lru_cache(maxsize=1024)
def _written(model: str) -> bytes:
    return json.dumps(model).encode()


def _with_only_model(body: bytes, value: bytes, model: str) -> bytes | None:
    """Change the model where the word stands once; None where that may be another's.

    A parser tells whether it was the outermost object's, and of an object at all (forms name
    models as well): far quicker than to go through the text.
    """
    at = body.find(_MODEL_KEY)
    after = at + len(_MODEL_KEY)
    if at < 0 or body.find(_MODEL_KEY, after) >= 0 or spells_a_letter(body):
        return None
    found = _TEXT_VALUE.match(body, after)
    if found is None:
        return None
    changed = body[: found.start(1)] + value + body[found.end(1) :]
    asked = parse_json(changed)
    return changed if isinstance(asked, dict) and asked.get("model") == model else None


def _with_model_in_path(
    pattern: re.Pattern[str], path: str, body: bytes, model: str
) -> Rewritten | None:
    found = pattern.search(path)
    if found is None:
        return None
    start, end = found.span(2)
    return Rewritten(f"{path[:start]}{quote(model, safe='')}{path[end:]}", body)


def path_at(dialect: str, path: str, provider: Provider) -> str | None:
    """Say under which path another provider takes the same call; None if that is not known."""
    own = _OWN_PATHS.get(dialect)
    base = provider.base_paths.get(dialect)
    if own is None or base is None:
        return None
    azure = _AZURE_TAIL.fullmatch(path)
    found = own.search(path if azure is None else azure[1])
    return None if found is None else base + found[0]
