"""What conditions look at, built from a call: only what the conditions of a policy read. Pure."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, NamedTuple

from remora.records import Attribution
from remora_sidecar.dialects.request_view import RequestView
from remora_sidecar.model.exchange import Headers

MAX_HEADERS: Final = 64
MAX_HEADER_CHARACTERS: Final = 1024
"""A longer value is cut; of a name that comes more than once the first value counts."""

_SHOWN: Final = frozenset(
    {
        "accept", "anthropic-beta", "anthropic-version", "content-type", "http-referer",
        "openai-beta", "openai-organization", "openai-project", "user-agent",
    }
)  # fmt: skip
_SHOWN_PREFIXES: Final = ("x-",)
_SECRET_WORDS: Final = ("key", "token", "auth", "secret", "cookie", "credential", "password",
                        "session", "signature", "sig", "jwt", "csrf", "cert")  # fmt: skip
"""Of fields whose names begin with ``x-``: one that has such a word in it may be a credential."""


class ConditionPod(NamedTuple):
    """The pod as conditions see it; empty outside Kubernetes."""

    name: str = ""
    namespace: str = ""
    labels: Mapping[str, str] = MappingProxyType({})


def condition_inputs(
    needs: Collection[str],
    view: RequestView,
    *,
    provider: str,
    dialect: str,
    operation: str,
    model: str,
    stream: bool,
    headers: Headers,
    attribution: Attribution,
    pod: ConditionPod,
    now: datetime,
) -> Mapping[str, object]:
    """Build the variables of conditions.

    Args:
        needs: Members of ``request`` that the conditions read; see `Condition.needs`.
        view: The request.
        provider: Name of the provider that it was asked of.
        dialect: Name of its dialect.
        operation: OpenTelemetry's word.
        model: The requested model.
        stream: Whether a stream was asked for.
        headers: As received.
        attribution: Whose call it is.
        pod: Where it comes from.
        now: The time, with its zone.
    """
    request: dict[str, object] = {
        "provider": provider,
        "dialect": dialect,
        "operation": operation,
        "model": model,
        "stream": stream,
    }
    request |= {name: read(view) for name, read in _READ.items() if name in needs}
    if "headers" in needs:
        request["headers"] = shown_headers(headers)
    return {
        "request": {name: value for name, value in request.items() if value is not None},
        "session": _session(attribution),
        "task": {"id": attribution.task_id},
        "pod": {"name": pod.name, "namespace": pod.namespace, "labels": dict(pod.labels)},
        "now": now,
    }


def _session(attribution: Attribution) -> dict[str, str]:
    return {
        "id": attribution.session_id,
        "data_id": attribution.data_id,
        "combo_id": attribution.combo_id,
        "agent_id": attribution.agent_id,
    }


def shown_headers(headers: Headers) -> dict[str, str]:
    """Choose the header fields that conditions may read: none of them holds a credential."""
    shown: dict[str, str] = {}
    for key, value in headers:
        name = key.decode("latin-1").lower()
        if name not in shown and _is_shown(name):
            shown[name] = value.decode("latin-1")[:MAX_HEADER_CHARACTERS].replace("\0", "")
        if len(shown) == MAX_HEADERS:
            break
    return shown


def _is_shown(name: str) -> bool:
    if name in _SHOWN:
        return True
    is_open = name.startswith(_SHOWN_PREFIXES)
    return is_open and not any(word in name for word in _SECRET_WORDS)


def _messages(view: RequestView) -> object:
    return [{"role": message.role, "content": message.text} for message in view.messages]


_READ: Final[Mapping[str, Callable[[RequestView], object]]] = {
    "messages": _messages,
    "tools": lambda view: list(view.tools),
    "max_tokens": lambda view: view.max_output_tokens,
    "estimated_input_tokens": lambda view: view.estimated_input_tokens,
}
"""Members for which the body is read; one that is None is left out."""
